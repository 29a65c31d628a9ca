import type { Argv } from 'yargs'
import { CONFIGURED_ROLES, TABLES } from '../../config/tables.ts'
import type { CommandNode } from '../../core/cli/command-tree.ts'
import { printDocument } from '../../io/terminal/print.ts'
import { bashScript } from './bash-script.ts'
import { fishScript } from './fish-script.ts'
import { type ShellModel, shellModel } from './shell-model.ts'
import { zshScript } from './zsh-script.ts'

interface Arguments {
  shell?: string | undefined
}

interface Deps {
  /** All commands, with their words and options. */
  tree(): Promise<CommandNode>
}

const SHELLS: Readonly<Record<string, (model: ShellModel) => string>> = { bash: bashScript, zsh: zshScript, fish: fishScript }

/** `keylime completion`. */
export const command = {
  builder: (yargs: Argv): Argv<Arguments> =>
    yargs
      .usage(
        'Prints a script that completes words, options, files, machine ids and policy names in your shell.\n\nUsage: keylime completion bash|zsh|fish',
      )
      .example('source <(keylime completion bash)', 'for this bash; for every bash, store it in a file that ~/.bashrc reads')
      .example('keylime completion zsh > ~/.zfunc/_keylime', 'for zsh, in a directory of fpath')
      .example('keylime completion fish > ~/.config/fish/completions/keylime.fish', 'for fish')
      .positional('shell', {
        choices: Object.keys(SHELLS),
        demandOption: true,
        describe: 'Which shell',
      }) as unknown as Argv<Arguments>,

  async run(argv: Arguments, { tree }: Deps): Promise<number> {
    await printDocument(SHELLS[argv.shell!]!(shellModel(await tree(), roleOptions())))
    return 0
  },
}

const roleOptions = () =>
  Object.fromEntries(CONFIGURED_ROLES.map((role) => [role, Object.keys(TABLES[role]).filter((name) => !TABLES[role][name]!.unused)]))
