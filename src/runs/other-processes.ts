/** Seam: the other processes of this gateway, on the same store. */

export interface OtherProcesses {
  /**
   * Whether a process bears the name now. One that has just lost the store is told to be gone: what
   * is done on the strength of that must also hold where it is not.
   */
  isPresent(instance: string): Promise<boolean>;
}
