/**
 * One party of a match by VOLE as a process, everything on one thread: `sender|receiver ITEMS
 * DIRECTORY` meets the other over loopback and sends a `VoleReport` to its parent.
 */
import { randomBytes } from 'node:crypto';
import { noopProgress } from './link.ts';
