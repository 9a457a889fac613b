/** Enrolment of a domain by a one-time token: the token is the credential. */
import { EnrolmentAnswerSchema, EnrolmentRequestSchema } from '../../contracts/enrolment.ts';
import { json, mountOpen, type Gate, type HttpApp } from '../endpoint.ts';
import type { EnrolmentDesk } from '../enrolment.ts';

const ENROLMENT_MAX_BYTES = 16 * 1024;

export function mountEnrolments(app: HttpApp, gate: Gate, desk: EnrolmentDesk): void {
  mountOpen(
    app,
    gate,
    {
      method: 'post',
      path: '/v1/enrolments',
      tag: 'enrolment',
      summary: 'A domain enrols with its one-time token and proves that it holds its key.',
      body: { schema: EnrolmentRequestSchema, bytesMax: ENROLMENT_MAX_BYTES },
      answers: { 201: { description: 'Enrolled.', schema: EnrolmentAnswerSchema } },
      problems: [
        'enrolment-token-invalid',
        'enrolment-token-expired',
        'signature-invalid',
        'already-exists',
        'rate-limited',
      ],
    },
    async ({ body, context }) =>
      json(await gate.gatekeeper.guard(context.env.incoming, () => desk.enrol(body)), 201),
  );
}
