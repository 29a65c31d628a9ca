import type { Argv } from 'yargs'
import { versionFacts, versionText } from '../../io/service/version.ts'
import { printJson, printLines } from '../../io/terminal/print.ts'

interface Arguments {
  json?: boolean | undefined
}

/** `keylime version`. */
export const command = {
  builder: (yargs: Argv): Argv<Arguments> =>
    yargs
      .usage('Shows the version, the commit it was built from, and the parts it was built with.\n\nUsage: keylime version [options]')
      .example('keylime version', 'a fact a line, as `keylime --version` shows them')
      .example('keylime version --json', 'the same, for a script')
      .option('json', { type: 'boolean', describe: 'Show JSON' }) as unknown as Argv<Arguments>,

  async run({ json }: Arguments): Promise<number> {
    if (json) printJson(versionFacts())
    else printLines(versionText().split('\n'))
    return 0
  },
}
