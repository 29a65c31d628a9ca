import { pythonJson } from '../../../core/python/python-json.ts'
import { createMeasuredBootPolicy } from '../create-measured-boot.ts'
import { tell, writeQuietly } from '../policy-action.ts'
import { argument, type UpstreamProgram, UsageError } from './program.ts'

/** `keylime-policy create measured-boot` (policies C.7): one line, as Python prints it. */
export const createMeasuredBoot: UpstreamProgram = {
  name: 'keylime-policy create measured-boot',
  arguments: [
    argument('value', 'eventLog', '-e', '--eventlog-file'),
    argument('flag', 'withoutSecureboot', '--without-secureboot', '-i'),
    argument('value', 'output', '-o', '--output'),
    argument('flag', 'verbose', '-v', '--verbose'),
  ],
  async run({ values, flags }) {
    const { eventLog, output } = values
    if (eventLog === undefined) throw new UsageError('the following arguments are required: -e/--eventlog-file')
    const text = await createMeasuredBootPolicy({ eventLog, withoutSecureboot: flags.has('withoutSecureboot') }, tell)
    return writeQuietly(pythonJson(JSON.parse(text)), output)
  },
}
