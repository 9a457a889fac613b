/** Which addresses only this machine can reach: beyond them nothing goes without TLS. */

/** Names other than `localhost` are not trusted to be this machine. */
export function isLoopback(host: string): boolean {
  return (
    host === 'localhost' || host === '::1' || host === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(host)
  );
}
