/** What goes wrong between an SDK and its gateway: a problem the gateway states, or no answer at all. */
import { ProblemBodySchema, type ProblemBody } from '../contracts/api.ts';

/** The gateway's refusal, as RFC 9457 states it. `code` is one of Weir's closed set. */
export class WeirProblem extends Error {
  readonly code: string;
  readonly status: number;
  readonly document: ProblemBody;
  /** When the gateway said to come back, in seconds. */
  readonly retryAfterS: number | undefined;

  constructor(document: ProblemBody, retryAfterS: number | undefined) {
    super(document.detail);
    this.name = 'WeirProblem';
    this.code = document.code;
    this.status = document.status;
    this.document = document;
    this.retryAfterS = retryAfterS;
  }
}

/** No usable answer came: the gateway may or may not have acted on the call. */
export class GatewayUnreachable extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'GatewayUnreachable';
  }
}

/** The error an unsuccessful answer stands for. */
export function problemFrom(
  text: string,
  status: number,
  retryAfter: string | undefined,
): WeirProblem | GatewayUnreachable {
  const parsed = ProblemBodySchema.safeParse(parseJson(text));
  if (!parsed.success) {
    return new GatewayUnreachable(`The server answered ${status}, but not as a Weir gateway does.`);
  }
  const retryAfterS = Number(retryAfter);
  const isNumber = retryAfter !== undefined && Number.isFinite(retryAfterS);
  return new WeirProblem(parsed.data, isNumber ? retryAfterS : undefined);
}

/** Undefined where the text is not JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
