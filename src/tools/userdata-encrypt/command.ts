import type { Argv } from 'yargs'
import { printLine } from '../../io/terminal/print.ts'
import { encryptUserdata, KEYS_FILE, PAYLOAD_FILE } from './encrypt-userdata.ts'

interface Arguments {
  file: string
}

/** `keylime userdata-encrypt FILE`. */
export const command = {
  builder: (yargs: Argv): Argv<Arguments> =>
    yargs
      .usage(
        'Encrypts a payload so that you can ship it in another way (an image, cloud-init). keylime then delivers only the key.\n\nUsage: keylime userdata-encrypt FILE',
      )
      .example('keylime userdata-encrypt secret.zip', `writes ${KEYS_FILE} and ${PAYLOAD_FILE} into this directory`)
      .example(`keylime tenant -t 10.0.0.7 -k ${KEYS_FILE}`, 'deliver only the key')
      .example(`keylime tenant -t 10.0.0.7 -k ${KEYS_FILE} -p ${PAYLOAD_FILE}`, 'deliver both')
      .positional('file', { type: 'string', demandOption: true, describe: 'The file to encrypt' }) as unknown as Argv<Arguments>,

  async run({ file }: Arguments): Promise<number> {
    await encryptUserdata(file, process.cwd())
    printLine(`${PAYLOAD_FILE} holds the encrypted file, ${KEYS_FILE} its key and shares: keep the latter secret`)
    return 0
  },
}
