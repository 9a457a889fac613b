/** The gateway's configuration file, as `weir init gateway` writes it and an operator edits it. */
import { z } from 'zod';
import { OPERATOR_QUOTAS_MAX, OperatorQuotaSchema } from '../runs/operator-quotas.ts';

export const GatewayConfigSchema = z.strictObject({
  format: z.literal('weir-gateway/1'),
  listen: z.strictObject({
    host: z.string().min(1).max(255),
    /** 0 lets the system choose. */
    port: z.int().min(0).max(65_535),
  }),
  /** Required for a bind beyond loopback; paths relative to the directory. */
  tls: z.strictObject({ certFile: z.string(), keyFile: z.string() }).optional(),
  store: z
    .discriminatedUnion('kind', [
      z.strictObject({ kind: z.literal('sqlite') }),
      z.strictObject({
        kind: z.literal('postgres'),
        /** A file of mode 0600 with `postgres://user:password@host/database`, relative to the directory. */
        urlFile: z.string().max(4096),
        schema: z
          .string()
          .regex(/^[a-z][a-z0-9_]{0,40}$/)
          .default('weir'),
      }),
    ])
    .default({ kind: 'sqlite' }),
  /** Names this process among gateways on one store: each recovers its own runs only. */
  instance: z
    .string()
    .regex(/^[a-z0-9-]{1,63}$/)
    .default('gateway-1'),
  /**
   * Where the other processes of this gateway reach this one, where that is not the address it
   * listens on: of the process itself, with its own certificate, not of a proxy before it.
   */
  advertiseUrl: z.url({ protocol: /^https?$/ }).optional(),
  /** Limits besides the contracts' own; their days and months are those of `quotaTimeZone`. */
  quotas: z.array(OperatorQuotaSchema).max(OPERATOR_QUOTAS_MAX).default([]),
  quotaTimeZone: z.string().max(64).default('Asia/Shanghai'),
  runs: z
    .strictObject({
      /**
       * Runs at work at once; beyond that callers are told to come again. A holder takes 64 of a process's
       * at once: of more under contracts with the same holder some are voided.
       */
      concurrentMax: z.int().min(1).max(1024),
      /** A run that takes longer is voided. */
      timeoutS: z.int().min(1).max(86_400),
      /** An analyst that takes part in a run and is silent for so long has left it. */
      analystSilenceS: z.int().min(1).max(600).default(30),
    })
    .default({ concurrentMax: 64, timeoutS: 600, analystSilenceS: 30 }),
  workers: z.int().min(1).max(64).default(2),
  log: z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info'),
});
export type GatewayConfig = z.infer<typeof GatewayConfigSchema>;
