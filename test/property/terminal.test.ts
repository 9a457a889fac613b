/** What the command prints: in lines of its own, whatever others wrote into it. */
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { argumentsOf } from '../../src/cli/commands/analyst.ts';
import { exitCodeOf, sentenceOf } from '../../src/cli/exit.ts';
import { addressOf } from '../../src/cli/operator.ts';
import { planText } from '../../src/cli/show-plan.ts';
import { ProgressLine, table } from '../../src/cli/terminal.ts';
import { WeirProblem } from '../../src/client/problem.ts';
import { quoted, visible } from '../../src/contracts/plain-text.ts';
import { InputError, InvariantError } from '../../src/errors.ts';
import { GatewayConfigSchema } from '../../src/gateway/config.ts';

const CLEAR_SCREEN = '\u001b[2J';
const C1 = '\u009b31m';
const TURNED = '\u202etxet';
const STEERING = [CLEAR_SCREEN, C1, TURNED, 'one\nweir: two', 'one\rtwo'];

/** Characters that steer, of those above. */
const steersIn = (text: string): string[] =>
  ['\u001b', '\u009b', '\u202e', '\r'].filter((character) => text.includes(character));

describe('text that others wrote', () => {
  it('steers no terminal out of a table, its head, a progress line or a sentence', () => {
    const written: string[] = [];
    const out = { isTTY: false, write: (text: string) => written.push(text) };
    const progress = new ProgressLine(out as unknown as NodeJS.WriteStream);
    for (const text of STEERING) {
      const plain = table(['title'], [['flights']]).split('\n').length;
      for (const shown of [table(['title'], [[text]]), table([text], [['flights']])]) {
        expect(shown).not.toContain(text);
        expect(shown.split('\n')).toHaveLength(plain);
      }
      expect(table(['title'], [[text]])).toContain(visible(text));
      progress.show(`computing: ${text}`);
      const document = {
        type: 't',
        title: 't',
        titleZh: 't',
        status: 400,
        code: 'run-unknown',
        detail: text,
        retryable: false,
      };
      for (const error of [new WeirProblem(document, undefined), new Error(text)]) {
        expect(sentenceOf(error)).toBe(visible(text));
      }
    }
    expect(steersIn(written.join(''))).toEqual([]);
    // The control: what shows is left as it is.
    expect(visible('准点统计, mean ± 0.5 █▏ “é”')).toBe('准点统计, mean ± 0.5 █▏ “é”');
  });

  it('steers none out of a refusal of the gateway’s', () => {
    const refusal = { code: 'column-unknown', detail: CLEAR_SCREEN, remedy: C1, rule: TURNED };
    const text = planText({ refusals: [refusal] } as unknown as Parameters<typeof planText>[0]);
    expect(steersIn(text)).toEqual([]);
    expect(text).toContain(visible(CLEAR_SCREEN));
  });

  it('does not look like another text by what is drawn as nothing', () => {
    // Hangul fillers, a variation selector, a joiner, the empty Braille pattern, a soft hyphen.
    for (const nothing of ['\u3164', '\u115f', '\uffa0', '\ufe0f', '\u034f', '\u2800', '\u00ad']) {
      expect(quoted(`north${nothing}`)).toBe(
        `"north\\u{${nothing.codePointAt(0)?.toString(16) ?? ''}}"`,
      );
    }
  });
});

describe('a value that is refused', () => {
  it('is one sentence, also where no command looked at it before', () => {
    const parsed = z
      .strictObject({ party: z.string().regex(/^[a-z]+$/) })
      .safeParse({ party: 'X' });
    if (parsed.success) throw new Error('accepted');
    expect(sentenceOf(parsed.error)).toMatch(/^party is not accepted: [^\n]+\.$/);
    expect(exitCodeOf(parsed.error)).toBe(65);
  });

  it('says what was wrong with a program that cannot go on, also where callers are not told', () => {
    const cause = new Error('The kernel lanes.wasm is not built: npm run build.');
    const failed = new InvariantError('internal', 'A worker thread failed.', {}, { cause });
    expect(sentenceOf(failed)).toBe(`A worker thread failed. ${cause.message}`);
    expect(exitCodeOf(failed)).toBe(70);
  });

  it('is an argument that is there twice: neither is dropped unseen', () => {
    expect(argumentsOf(['hours=7,8', 'carrier=AA'])).toEqual({
      hours: ['7', '8'],
      carrier: ['AA'],
    });
    expect(() => argumentsOf(['hours=7', 'hours=8'])).toThrow(InputError);
  });
});

describe('a gateway’s own address', () => {
  it.each([
    ['127.0.0.1', 'http://127.0.0.1:8470'],
    ['::1', 'http://[::1]:8470'],
  ])('at %s is a URL', (host, url) => {
    const config = GatewayConfigSchema.parse({
      format: 'weir-gateway/1',
      listen: { host, port: 8470 },
    });
    expect(addressOf(config)).toBe(url);
    expect(URL.canParse(url)).toBe(true);
  });
});
