/**
 * Items that both sides add to every part: the receiver must find exactly these, or the run did not
 * work, and an empty answer would be a wrong one. They guard against faults (another hash, another
 * Δ, a mixed-up part), not against a peer that means harm.
 */
export const CANARIES = 4;
