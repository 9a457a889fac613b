/** Every benchmark suite: one file each, loaded only when it is asked for. */
import type { BenchSuite } from './suite.ts';

export const SUITES: Readonly<Record<string, () => Promise<BenchSuite>>> = {
  counters: async () => (await import('./counters.ts')).countersSuite,
  governance: async () => (await import('./governance.ts')).governanceSuite,
  homomorphic: async () => (await import('./homomorphic.ts')).homomorphicSuite,
  link: async () => (await import('./link.ts')).linkSuite,
  ledger: async () => (await import('./ledger.ts')).ledgerSuite,
  psi: async () => (await import('./psi.ts')).psiSuite,
  run: async () => (await import('./gateway-run.ts')).gatewayRunSuite,
  source: async () => (await import('./source.ts')).sourceSuite,
  'secure-sum': async () => (await import('./secure-sum.ts')).secureSumSuite,
};
