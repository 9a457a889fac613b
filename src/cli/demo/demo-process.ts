/** The demo's analyst as a process: works through the steps with the SDK, prints, ends. */
import { Analyst } from '../analyst.ts';
import { tellReady } from '../processes.ts';
import { ProgressLine } from '../terminal.ts';
import type { DemoRun } from './demo-step.ts';
import { DEMO_STEPS } from './steps.ts';

/** `--json` prints one object and nothing else. */
export async function runDemoProcess(options: {
  readonly dir: string;
  readonly url: string;
  readonly json?: boolean;
}): Promise<void> {
  tellReady({});
  const json = options.json === true;
  const progress = new ProgressLine();
  const analyst = new Analyst(options.dir, options.url);
  const runs: DemoRun[] = [];
  try {
    for (const step of DEMO_STEPS) {
      const done = await step.run({
        analyst,
        directory: options.dir,
        print: (text) => {
          progress.done();
          if (!json) process.stdout.write(`${text}\n`);
        },
        progress: (text, fraction) => progress.show(text, fraction),
      });
      progress.done();
      runs.push(...done);
    }
    if (json) process.stdout.write(`${JSON.stringify({ ok: true, runs })}\n`);
  } finally {
    progress.done();
    analyst.close();
    if (process.connected) process.disconnect?.();
  }
}
