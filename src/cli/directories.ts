/** A party's directory on disk: its configuration, read and written whole, readable by its owner only. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { z } from 'zod';
import { SetupError } from '../errors.ts';

const CONFIG = 'config.json';

/**
 * Reads `config.json` of a directory.
 * @throws SetupError `config-missing`, or `config-invalid` with the path of the first wrong field.
 */
export function readConfig<Schema extends z.ZodType>(
  directory: string,
  schema: Schema,
): z.infer<Schema> {
  const file = join(directory, CONFIG);
  if (!existsSync(file)) {
    throw new SetupError('config-missing', `There is no ${file}.`, {
      path: file,
      remedy: 'Create the directory with `weir init gateway|domain|analyst`.',
    });
  }
  const value = readJson(file);
  const parsed = schema.safeParse(value);
  const [issue] = parsed.error?.issues ?? [];
  if (issue?.code === 'invalid_value' && issue.path[0] === 'format') {
    throw new SetupError('config-invalid', `${directory} is not a directory for this command.`, {
      path: file,
      remedy: `Its config.json is to say ${issue.values.join(' or ')}: give the right --dir.`,
    });
  }
  return accepted(file, parsed);
}

/** @throws SetupError `config-missing`, `config-invalid` */
export function parseJsonFile<Schema extends z.ZodType>(
  file: string,
  schema: Schema,
): z.infer<Schema> {
  return accepted(file, schema.safeParse(readJson(file)));
}

function readJson(file: string): unknown {
  if (!existsSync(file)) {
    throw new SetupError('config-missing', `There is no file ${file}.`, { path: file });
  }
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    const why = error instanceof Error ? error.message : 'unreadable';
    throw new SetupError('config-invalid', `${file} cannot be read as JSON: ${why}`, {
      path: file,
    });
  }
}

function accepted<Value>(file: string, parsed: z.ZodSafeParseResult<Value>): Value {
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const at = issue?.path.join('.') ?? '';
  throw new SetupError('config-invalid', `${file}: ${at || 'document'}: ${issue?.message ?? ''}.`, {
    path: `${file}#${at}`,
  });
}

/** Writes `config.json` atomically; mode 0600 in a directory of mode 0700. */
export function writeConfig(directory: string, config: unknown): void {
  const file = join(directory, CONFIG);
  writePrivateFile(file, `${JSON.stringify(config, null, 2)}\n`);
}

export function writePrivateFile(file: string, content: string): void {
  const temporary = `${file}.${process.pid}.tmp`;
  writeFileSync(temporary, content, { mode: 0o600 });
  renameSync(temporary, file);
}

/**
 * Makes a new party's directory.
 * @throws SetupError `config-invalid` where it is in use already: keys are never overwritten.
 */
export function makeDirectory(directory: string): string {
  const path = resolve(directory);
  if (existsSync(join(path, CONFIG))) {
    throw new SetupError('config-invalid', `${path} is in use already; its keys are kept.`, {
      path,
      remedy: 'Choose another --dir, or remove the directory if you mean to start over.',
    });
  }
  mkdirSync(path, { recursive: true, mode: 0o700 });
  return path;
}

/** Where an analyst keeps a key pair that opens sums: sealed ones, or weighted ones. */
export function keyDirectory(directory: string, name: 'sealing' | 'weighing'): string {
  return join(directory, 'keys', name);
}

/** Where a gateway's directory has its operator's token. Secret: what it holds. */
export function operatorTokenFile(directory: string): string {
  return join(directory, 'operator.token');
}
