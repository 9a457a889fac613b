/** What a run needs of the link: ask one domain, and open the run's channel between all parties. */
import type { WeirError } from '../errors.ts';
import type { RunChannel } from '../link/channel.ts';
import type { PartyId, RunId } from '../system/ids.ts';

export interface GatewayRunChannel extends RunChannel {
  /** Ends the run for every party; the first reason stays. */
  abort(reason: WeirError): void;
  close(): void;
}

export interface RunTransport {
  isConnected(party: PartyId): boolean;
  /**
   * @throws AbortError `domain-unreachable`, `domain-left`, `run-timed-out`; or the refusal that
   * the domain answered with, as the class of its family.
   */
  request(
    party: PartyId,
    method: string,
    body: unknown,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<unknown>;
  openChannel(runId: RunId, attempt: number, parties: readonly PartyId[]): GatewayRunChannel;
}
