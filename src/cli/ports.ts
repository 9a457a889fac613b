/** A port as a person states it. */
import { InputError } from '../errors.ts';

/** @throws InputError `parameter-invalid` */
export function portOf(text: string): number {
  const port = Number(text);
  if (text.trim() !== '' && Number.isInteger(port) && port >= 0 && port <= 65_535) return port;
  throw new InputError('parameter-invalid', `--port ${text} is not a port number.`);
}
