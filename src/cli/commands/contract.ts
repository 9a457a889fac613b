/** Contracts: an analyst drafts and proposes; an officer reviews, signs, refuses, revokes. */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { z } from 'zod';
import type { ContractBody } from '../../contracts/api.ts';
import { type Contract, ContractSchema, LimitsSchema } from '../../contracts/contract.ts';
import { DominanceTermsSchema } from '../../contracts/dominance-terms.ts';
import { ParameterSchema, type Plan, PlanSchema } from '../../contracts/plan.ts';
import { ReleaseTermsSchema } from '../../contracts/release-terms.ts';
import { RoundingTermsSchema } from '../../contracts/rounding-terms.ts';
import { checkPlan } from '../../catalog/check-plan.ts';
import { adminClient } from '../../domain/admin-client.ts';
import type { OfficerActions } from '../../domain/admin-server.ts';
import { InputError } from '../../errors.ts';
import {
  type ContractId,
  ContractIdSchema,
  type Hash,
  HashSchema,
  NameSchema,
  type PartyId,
  PartyIdSchema,
} from '../../system/ids.ts';
import type { Analyst, StatedTerms } from '../analyst.ts';
import { operatorTokenFile, parseJsonFile } from '../directories.ts';
import { asSealed } from '../sealing.ts';
import { asWeighted } from '../weighing.ts';
import { table } from '../terminal.ts';
import { verifiedCatalog } from '../verified-catalog.ts';
import { asAnalyst, withAnalyst } from './analyst.ts';
import { operatorClient } from '../operator.ts';

const Text = z.string().min(1).max(2000);
const Bilingual = z.strictObject({ zh: Text, en: Text });

/** What an analyst writes to have a contract drafted. */
const DraftFileSchema = z.strictObject({
  title: Bilingual,
  purpose: Bilingual.optional(),
  /** Where people's consent is per purpose. */
  purposeCode: NameSchema.optional(),
  legalBasis: Text.optional(),
  plan: PlanSchema,
  parameters: z.record(NameSchema, ParameterSchema).default({}),
  limits: LimitsSchema.partial().default({}).transform(definedOf),
  minimumParties: z.int().min(2).optional(),
  validDays: z.int().min(1).max(3660).optional(),
  /** Matches only: the dataset that each holder takes part with. */
  datasets: z.record(PartyIdSchema, NameSchema).optional(),
  /** Sums that are mostly a few contributors' are withheld; figures rounded to multiples. */
  dominance: DominanceTermsSchema.exactOptional(),
  rounding: RoundingTermsSchema.exactOptional(),
  /** An officer of each holder is to release every result. */
  release: ReleaseTermsSchema.exactOptional(),
  /** A sealed sum to the analyst's sealing key: not even the gateway sees a total. */
  sealed: z.boolean().default(false),
  /** Weights that only the analyst knows: their largest absolute value, in units of 10^−scale. */
  weights: z
    .strictObject({
      maximum: z.string().regex(/^[1-9]\d{0,17}$/),
      scale: z.int().min(0).max(9),
    })
    .optional(),
});

export function contractCommands(program: Command): void {
  const contract = program.command('contract').description('digital contracts · 数字合约');
  analystSide(contract);
  officerSide(contract);
}

function analystSide(contract: Command): void {
  asAnalyst(
    contract
      .command('draft')
      .description('an analyst: make a contract from a plan and the catalog')
      .argument('<file>', 'JSON with title and plan')
      .option('--out <file>', 'where to write it; standard output otherwise'),
  )
    .addHelpText(
      'after',
      '\nExample of a file:\n' +
        '  {"title":{"zh":"就诊次数","en":"Visits"},\n' +
        '   "plan":{"kind":"aggregate","table":"visits","groups":[{"column":"month"}],\n' +
        '           "measures":[{"as":"visits","fn":"count"}],"select":[]}}\n' +
        'or, to count the people two holders share:\n' +
        '  {"title":{"zh":"共同患者","en":"Shared patients"},\n' +
        '   "datasets":{"north":"visits","south":"sales"},\n' +
        '   "plan":{"kind":"match","ask":"cardinality","receiver":"north","duplicates":"distinct",\n' +
        '           "key":[{"as":"person","type":"text","columns":[\n' +
        '             {"holder":"north","column":"id"},{"holder":"south","column":"buyer"}]}]}}\n' +
        'or, to count how many ids of your own one holder has (run it with `weir match`):\n' +
        '  {"title":{"zh":"名单核对","en":"Known patients"}, "datasets":{"north":"visits"},\n' +
        '   "plan":{"kind":"own-set","setSizeMax":65536,\n' +
        '           "key":{"as":"person","type":"text","column":"id"}}}',
    )
    .action(async (file: string, options: { dir: string; url?: string; out?: string }) => {
      const { plan, sealed, weights, datasets, ...terms } = parseJsonFile(file, DraftFileSchema);
      if (sealed && weights !== undefined) {
        throw new InputError('malformed-message', 'A contract is `sealed` or has `weights`.', {
          remedy: 'Leave one of them out; a weighted sum is sealed as it is.',
        });
      }
      await withAnalyst(options, async (analyst) => {
        const plain = await draftOf(analyst, plan, datasets, definedOf(terms));
        const weighted = weights === undefined ? plain : asWeighted(options.dir, plain, weights);
        const drafted = sealed ? asSealed(options.dir, weighted) : weighted;
        // What a holder would object to is told before anybody is asked to sign it.
        checkPlan(drafted, await verifiedCatalog(analyst));
        const text = `${JSON.stringify(drafted, undefined, 2)}\n`;
        if (options.out === undefined) process.stdout.write(text);
        else writeFileSync(options.out, text);
      });
    });

  asAnalyst(
    contract
      .command('propose')
      .description('an analyst: sign a contract and file it with the gateway')
      .argument('<file>', 'the contract, as `weir contract draft` wrote it'),
  ).action(async (file: string, options: { dir: string; url?: string }) => {
    const document = parseJsonFile(file, ContractSchema);
    await withAnalyst(options, async (analyst) => {
      const filed = await analyst.propose(document);
      process.stdout.write(`${filed.contract.id}\n`);
    });
  });
}

function draftOf(
  analyst: Analyst,
  plan: Plan,
  datasets: Readonly<Record<PartyId, string>> | undefined,
  terms: StatedTerms,
): Promise<Contract> {
  switch (plan.kind) {
    case 'match':
      return analyst.draftMatch(plan, bothOf(tablesOf(datasets)), terms);
    case 'own-set':
      return analyst.draftOwnSet(plan, tablesOf(datasets), terms);
    case 'aggregate':
      return analyst.draft(plan, terms);
  }
}

/** @throws InputError `malformed-message` where the file names none */
function tablesOf(
  datasets: Readonly<Record<PartyId, string>> | undefined,
): ReadonlyMap<PartyId, string> {
  if (datasets === undefined) {
    throw new InputError(
      'malformed-message',
      'A match needs `datasets`: one of each holder that takes part.',
      {
        remedy: 'Add "datasets":{"<holder>":"<dataset>", …} to the file.',
      },
    );
  }
  return new Map(
    Object.entries(datasets).map(([holder, table]) => [PartyIdSchema.parse(holder), table]),
  );
}

/** @throws InputError `malformed-message` where it is not one of each of two holders */
function bothOf(tables: ReadonlyMap<PartyId, string>): ReadonlyMap<PartyId, string> {
  if (tables.size === 2) return tables;
  throw new InputError('malformed-message', 'A match is of exactly two holders’ datasets.', {
    remedy: 'Name two: "datasets":{"<holder>":"<dataset>","<holder>":"<dataset>"}.',
  });
}

function officerSide(contract: Command): void {
  const officer = (
    name: string,
    description: string,
    directory = 'the domain’s directory',
  ): Command =>
    contract.command(name).description(description).requiredOption('--dir <directory>', directory);

  officer(
    'list',
    'contracts that name this party, and how they stand · 合约列表',
    'the domain’s directory, or the analyst’s',
  ).action(async ({ dir }: { dir: string }) => {
    const rows = existsSync(join(dir, 'admin.sock'))
      ? (await adminClient(dir).proposals()).map(listed)
      : await analystsContracts(dir);
    const head = ['contract', 'state', 'until', 'title', '名称', 'signed'];
    process.stdout.write(`${table(head, rows)}\n`);
  });

  officer('review', 'read a contract in plain words · 审阅')
    .argument('<contract>', 'its id')
    .option('--canonical', 'the canonical form that is signed, too')
    .action(async (id: string, { dir, canonical }: { dir: string; canonical?: boolean }) => {
      const review = await adminClient(dir).review(idOf(id));
      process.stdout.write(`${review.zh}\n\n${review.en}\n`);
      if (canonical === true) process.stdout.write(`\n${review.canonical}\n`);
      for (const objection of review.proposal.objections) {
        process.stdout.write(`\nobjection (${objection.code}): ${objection.message}`);
        process.stdout.write(objection.remedy === undefined ? '\n' : ` ${objection.remedy}\n`);
      }
      const isOpen = review.proposal.objections.length === 0;
      process.stdout.write(
        `\nhash ${review.proposal.hash}\n` +
          (isOpen
            ? `To sign:    weir contract sign --dir ${dir} ${id} --hash ${review.proposal.hash}\n`
            : 'It cannot be signed while the objections stand.\n') +
          `To refuse:  weir contract refuse --dir ${dir} ${id} --hash ${review.proposal.hash}\n`,
      );
    });

  decision(officer('sign', 'sign a reviewed contract · 签署'), async (actions, id, hash) => {
    const signed = await actions.sign(id, { hash });
    return `signed; the contract is ${signed.state}`;
  });
  decision(officer('refuse', 'refuse a contract · 拒绝'), async (actions, id, hash, reason) => {
    await actions.refuse(id, { hash, reason });
    return 'refused';
  });
  decision(
    officer('revoke', 'revoke a contract: no run begins any more, runs in flight stop · 撤销'),
    async (actions, id, hash, reason) => {
      await actions.revoke(id, { hash, reason });
      return 'revoked, in this domain at once';
    },
  );
  pausing(contract, 'suspend', 'stop a contract’s runs for a while · 暂停');
  pausing(contract, 'resume', 'let runs of a suspended contract begin again · 恢复执行');
}

/** By an officer in its domain, or by the operator at the gateway: each lifts its own alone. */
function pausing(contract: Command, action: 'suspend' | 'resume', description: string): void {
  contract
    .command(action)
    .description(description)
    .argument('<contract>', 'its id')
    .requiredOption('--dir <directory>', 'a domain’s directory, or the gateway’s')
    .option('--reason <text>', 'shown to the other parties', '')
    .option('--url <url>', 'the gateway, if not the configured one')
    .addHelpText('after', `\nExample: weir contract ${action} --dir hospital 0199…`)
    .action(async (text: string, options: { dir: string; reason: string; url?: string }) => {
      const id = idOf(text);
      const isGateway = existsSync(operatorTokenFile(options.dir));
      if (isGateway) await pauseAtGateway(id, action, options);
      else await adminClient(options.dir)[action](id, options.reason);
      const where = isGateway ? 'at the gateway' : 'in this domain at once';
      process.stdout.write(`${action === 'suspend' ? 'suspended' : 'resumed'}, ${where}\n`);
    });
}

async function pauseAtGateway(
  id: ContractId,
  action: 'suspend' | 'resume',
  options: { dir: string; reason: string; url?: string },
): Promise<void> {
  const client = operatorClient(options);
  try {
    const reason = options.reason === '' ? 'by the operator' : options.reason;
    if (action === 'suspend') await client.suspendContract(id, reason);
    else await client.resumeContract(id);
  } finally {
    client.close();
  }
}

function decision(
  command: Command,
  decide: (officer: OfficerActions, id: ContractId, hash: Hash, reason: string) => Promise<string>,
): void {
  command
    .argument('<contract>', 'its id')
    .requiredOption('--hash <hash>', 'the hash that `weir contract review` showed')
    .option('--reason <text>', 'shown to the other parties', '')
    .action(async (id: string, options: { dir: string; hash: string; reason: string }) => {
      const { dir, hash, reason } = options;
      const said = await decide(adminClient(dir), idOf(id), hashOf(hash), reason);
      process.stdout.write(`${said}\n`);
    });
}

/** One line of a list; what has ended shows by its state, and when by its date. */
function listed(one: Pick<ContractBody, 'contract' | 'signatures'> & { state: string }): string[] {
  const { id, title, holders, validity } = one.contract;
  const signed = `${one.signatures.length} of ${holders.length + 1}`;
  return [id, one.state, validity.notAfter.slice(0, 10), title.en, title.zh, signed];
}

async function analystsContracts(dir: string): Promise<string[][]> {
  const rows: string[][] = [];
  await withAnalyst({ dir }, async (analyst) => {
    for await (const one of analyst.client.everyContract()) rows.push(listed(one));
  });
  return rows;
}

function idOf(text: string): ContractId {
  const parsed = ContractIdSchema.safeParse(text);
  if (parsed.success) return parsed.data;
  throw new InputError('parameter-invalid', `${text} is not a contract’s id.`, {
    remedy: '`weir contract list` shows them.',
  });
}

function hashOf(text: string): Hash {
  const parsed = HashSchema.safeParse(text);
  if (parsed.success) return parsed.data;
  throw new InputError('parameter-invalid', '--hash is 64 hexadecimal digits.', {
    remedy: '`weir contract review` shows it.',
  });
}

/** Without the members that were not stated, so that defaults apply. */
function definedOf<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const entries = Object.entries(value).filter(([, member]) => member !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]: Exclude<T[K], undefined> };
}
