import { spawn } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import type { CommandResult, Deployment } from './deployment.ts'
import { KEYLIME } from './deployment.ts'

const GUIDE = path.resolve(import.meta.dirname, '../../docs/guide')

/** The lines of commands below a heading of a guide page, in its order, without what is said behind `#`. */
export function commandsOf(page: string, heading: string): string[] {
  const text = fs.readFileSync(path.join(GUIDE, page), 'utf8')
  const section = text.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0]
  if (section === undefined) throw new Error(`${page} has no section "${heading}"`)
  return [...section.matchAll(/^```\n([\s\S]*?)^```$/gm)]
    .flatMap((block) => block[1]!.split('\n'))
    .map((line) => line.replace(/\s{2,}# .*$/, '').trim())
    .filter((line) => line !== '')
}

/** A command of a page as the shell gets it: the same words, with the directories and ports of a deployment in the place of the standard ones. */
export class PageShell {
  readonly #d: Deployment
  readonly #replaced: readonly (readonly [string | RegExp, string])[]

  /** @param etc stands for /etc/keylime. */
  constructor(d: Deployment, etc: string) {
    this.#d = d
    this.#replaced = [
      [/^sudo /, ''],
      ['/var/lib/keylime', d.server],
      ['var/lib/keylime', d.server.slice(1)],
      ['etc/keylime', etc.slice(1)],
      ['127.0.0.1:8881', `127.0.0.1:${d.environment['KEYLIME_VERIFIER_PORT']}`],
      [/(keylime service install \w+)/, `$1 --root ${d.dir}/image`],
      ['./keylime', KEYLIME],
    ]
  }

  /** @param more environment beside the deployment's. */
  async run(line: string, more: Record<string, string> = {}): Promise<CommandResult> {
    const text = this.#replaced.reduce(
      (command, [from, to]) => command.replaceAll(typeof from === 'string' ? from : new RegExp(from, 'g'), to),
      line,
    )
    const env = { ...this.#d.environment, HOME: this.#d.dir, PATH: `${path.dirname(KEYLIME)}:${process.env['PATH']}`, ...more }
    const child = spawn('bash', ['-c', text], { cwd: this.#d.dir, env, stdio: ['ignore', 'pipe', 'pipe'] })
    const result = { code: null as number | null, stdout: '', stderr: '' }
    child.stdout.on('data', (chunk) => (result.stdout += chunk))
    child.stderr.on('data', (chunk) => (result.stderr += chunk))
    return new Promise((resolve) => child.on('close', (code) => resolve({ ...result, code })))
  }
}
