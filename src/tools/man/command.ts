import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { Argv } from 'yargs'
import type { CommandNode } from '../../core/cli/command-tree.ts'
import { nearestWord } from '../../core/cli/nearest-word.ts'
import { KeylimeError } from '../../core/errors.ts'
import { hinted } from '../../core/system-failure.ts'
import { writeTogether } from '../../io/files/write-together.ts'
import { RELEASE_DATE, VERSION } from '../../io/service/version.ts'
import { noteLine, printDocument, printLines } from '../../io/terminal/print.ts'
import { manualPages } from './pages.ts'

interface Arguments {
  page?: string | undefined
  install?: string | undefined
  list?: boolean | undefined
}

interface Deps {
  /** All commands, with their words and options. */
  tree(): Promise<CommandNode>
}

/** `keylime man`. */
export const command = {
  builder: (yargs: Argv): Argv<Arguments> =>
    yargs
      .usage(
        'Shows a page of the manual: with man(1) on a terminal, as roff in a pipe. Without PAGE it shows keylime(1).\n\nUsage: keylime man [PAGE] [options]',
      )
      .example('keylime man tenant', 'the page of a role or a tool')
      .example('keylime man verifier.conf', 'every option of verifier.conf')
      .example('sudo keylime man --install /usr/local/share/man', 'all pages, so that `man keylime-tenant` finds them')
      .positional('page', { type: 'string', describe: 'A role, a tool, or ROLE.conf' })
      .option('list', { type: 'boolean', describe: 'Print only the names of the pages' })
      .option('install', {
        type: 'string',
        requiresArg: true,
        describe: 'Write all pages into man1 and man5 below this directory',
      }) as unknown as Argv<Arguments>,

  async run(argv: Arguments, { tree }: Deps): Promise<number> {
    const pages = manualPages(await tree(), { version: VERSION, date: RELEASE_DATE })
    if (argv.list) printLines(pages.keys())
    else if (argv.install !== undefined) await install(pages, argv.install)
    else await show(...pageOf(pages, argv.page ?? 'keylime'))
    return 0
  },
}

/** @param word such as `tenant`, `keylime-tenant`, `tenant.conf`, `keylime-tenant.conf.5`. @throws KeylimeError `not_found`. */
function pageOf(pages: ReadonlyMap<string, string>, word: string): [file: string, text: string] {
  const plain = (file: string) => file.replace(/^keylime-/, '').replace(/\.\d$/, '')
  for (const [file, text] of pages) if (plain(file) === plain(word)) return [file, text]
  const near = nearestWord(plain(word), [...pages.keys()].map(plain))
  throw new KeylimeError('not_found', `there is no page "${word}"`, {
    hint: near ? `did you mean \`keylime man ${near}\`?` : '`keylime man --list` names them',
  })
}

async function install(pages: ReadonlyMap<string, string>, directory: string): Promise<void> {
  const files = [...pages].map(([file, text]) => ({ file: path.join(directory, `man${file.at(-1)}`, file), data: text, mode: 0o644 }))
  await writeTogether(files, true).catch((error) => {
    throw hinted(error, 'try again with sudo, or name another directory')
  })
  noteLine(`${pages.size} pages written below ${directory}`)
}

/** In a pipe, and where there is no man(1), the page as it is. */
async function show(file: string, text: string): Promise<void> {
  if (!process.stdout.isTTY) return printDocument(text)
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'keylime-man-'))
  try {
    const written = path.join(directory, file)
    fs.writeFileSync(written, text)
    const { error } = spawnSync('man', ['-l', written], { stdio: 'inherit' })
    if (error) await printDocument(text)
  } finally {
    fs.rmSync(directory, { recursive: true, force: true })
  }
}
