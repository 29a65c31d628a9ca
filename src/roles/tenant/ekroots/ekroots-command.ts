import path from 'node:path'
import { nearestWord } from '../../../core/cli/nearest-word.ts'
import { KeylimeError } from '../../../core/errors.ts'
import { systemClock } from '../../../io/clock.ts'
import { noteLine, printJson, printLines } from '../../../io/terminal/print.ts'
import type { TenantStart } from '../start.ts'
import { addRoots } from './add-roots.ts'
import { checkEkCertificate } from './check-ek-certificate.ts'
import type { EkrootsAnswer } from './ekroots-answer.ts'
import { listRoots } from './list-roots.ts'
import { ekCertificateOf } from './wanted-certificate.ts'

export interface EkrootsAsked {
  /** `list`, `add FILE…` or `check FILE`. */
  readonly words: readonly string[]
  /** `check -u`: whose certificate, as the registrar has it. */
  readonly agentId: string | undefined
  readonly json: boolean
}

const WORDS = ['list', 'add', 'check'] as const

/** `keylime tenant ekroots`: needs neither servers nor certificates of its own, except for `check -u`. @returns the exit code. */
export async function runEkroots(start: TenantStart, asked: EkrootsAsked): Promise<number> {
  const { config, keylimeDir } = start.settings
  const [word = 'list', ...files] = asked.words
  const directory = path.resolve(keylimeDir, config.tpm_cert_store)
  for (const warning of start.settings.warnings) noteLine(`warning: ${warning}`)
  const { json, lines, notes } = await answer()
  for (const note of notes) noteLine(note)
  if (asked.json) printJson(json)
  else printLines(lines)
  return 0

  async function answer(): Promise<EkrootsAnswer> {
    const now = systemClock.now()
    if (asked.agentId !== undefined && word !== 'check') throw new KeylimeError('usage', `ekroots ${word} does not take -u`)
    switch (word) {
      case 'list':
        if (files.length > 0) throw new KeylimeError('usage', 'ekroots list takes no file', { hint: '`ekroots check FILE` looks at one' })
        return listRoots(directory, now)
      case 'add':
        return addRoots(directory, files, now)
      case 'check':
        return checkEkCertificate(await ekCertificateOf(start, files, asked.agentId), {
          directory,
          now,
          acceptExpired: config.ek_cert_expiry === 'accept',
        })
      default: {
        const meant = nearestWord(word, WORDS)
        throw new KeylimeError('usage', `"${word}" is not something that ekroots can do`, {
          hint: meant ? `did you mean \`keylime tenant ekroots ${meant}\`?` : 'one of: list, add FILE…, check FILE, check -u ID',
        })
      }
    }
  }
}
