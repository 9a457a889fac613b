/** A dataset's registration as its holder wrote it; apart from the registry, which opens its source. */
import { readFileSync } from 'node:fs';
import { type DatasetRegistration, parseRegistration } from '../catalog/dataset.ts';
import { SetupError } from '../errors.ts';

/** A registration file, parsed. @throws SetupError `source-missing`, `config-invalid` */
export function readRegistration(file: string): DatasetRegistration {
  return parseRegistration(readText(file), file);
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    throw new SetupError('source-missing', `The dataset registration ${file} cannot be read.`, {
      path: file,
      remedy: 'Check its path; a relative one begins at the domain’s directory.',
    });
  }
}
