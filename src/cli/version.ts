/** The version of this build, from package.json. */
import { readFileSync } from 'node:fs';
import { findPackageJSON } from 'node:module';
import { z } from 'zod';

const file = findPackageJSON(import.meta.url);
export const VERSION: string = z
  .object({ version: z.string() })
  .parse(JSON.parse(file === undefined ? '{"version":"0"}' : readFileSync(file, 'utf8'))).version;
