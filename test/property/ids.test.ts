import { expect, it } from 'vitest';
import { NameSchema } from '../../src/system/ids.ts';

it('takes names that are safe as members of an object, and no other', () => {
  for (const name of ['a', '_', 'hour_of_day', '__proto', 'constructor', 'x'.repeat(63)]) {
    expect(NameSchema.safeParse(name).success).toBe(true);
  }
  for (const name of ['__proto__', '', '1a', 'a-b', 'a b', 'é', 'a\n', 'x'.repeat(64)]) {
    expect(NameSchema.safeParse(name).success).toBe(false);
  }
});
