import { STATE_WORDS, type StateWord } from '../../../core/attestation/state-word.ts'
import { KeylimeError } from '../../../core/errors.ts'
import type { TenantCommand } from '../tenant-options.ts'

/** Which machines a word is for, when it may be more than one. */
export interface Selection {
  /** `-u`, and words behind the command. */
  readonly ids: readonly string[]
  /** `-t` */
  readonly hosts: readonly string[]
  readonly all: boolean
  /** Machines that must prove this runtime or measured boot policy. */
  readonly policy: string | undefined
  readonly state: StateWord | undefined
  /** File with a list. */
  readonly from: string | undefined
}

/** How a fleet is worked through. */
export interface FleetOptions {
  readonly selection: Selection
  /** Machines at the same time. */
  readonly parallel: number
  readonly dryRun: boolean
  /** File that remembers who is done; undefined for none. */
  readonly resume: string | undefined
}

export const FLEET_WORDS = ['add', 'update', 'attest', 'reactivate', 'delete', 'revoke', 'forget'] as const
export type FleetWord = (typeof FLEET_WORDS)[number]
/** They ask before they begin, unless each machine was named. */
export const TAKES_AWAY: readonly FleetWord[] = ['delete', 'revoke', 'forget']

export const isFleetWord = (word: TenantCommand): word is FleetWord => (FLEET_WORDS as readonly string[]).includes(word)

/** Chosen by what they are, not by their names. */
export const isChosen = ({ all, policy, state }: Selection): boolean => all || policy !== undefined || state !== undefined

/** More than the one machine that every word takes. */
export const isFleet = (selection: Selection): boolean =>
  isChosen(selection) ||
  selection.from !== undefined ||
  selection.ids.length + selection.hosts.length > (selection.ids.length > 0 && selection.hosts.length > 0 ? 2 : 1)

/** @throws KeylimeError `usage` for what cannot go together. */
export function checkSelection(word: TenantCommand, selection: Selection): void {
  const { ids, hosts, from } = selection
  if (!isFleetWord(word)) {
    if (word === 'list') return
    if (isFleet(selection))
      throw new KeylimeError('usage', `\`keylime tenant ${word}\` is for one machine`, {
        hint: `several at once take: ${FLEET_WORDS.join(', ')}`,
      })
    return
  }
  const ways = [
    ids.length + hosts.length > 0 && '-u or -t',
    from !== undefined && '--from',
    isChosen(selection) && '--all, --policy or --state',
  ]
  const given = ways.filter(Boolean)
  if (given.length > 1)
    throw new KeylimeError('usage', `${given.join(' and ')} exclude each other`, { hint: 'say in one way which machines are meant' })
  if (ids.length > 0 && hosts.length > 0 && ids.length + hosts.length > 2)
    throw new KeylimeError('usage', 'several -u and -t together do not say which belong together', {
      hint: 'use --from with a list: address,id',
    })
}

export function stateOf(text: string | undefined): StateWord | undefined {
  if (text === undefined) return undefined
  const word = STATE_WORDS.find((known) => known === text)
  if (word) return word
  throw new KeylimeError('usage', `--state ${text}: there is no such state`, { hint: `one of: ${STATE_WORDS.join(', ')}` })
}
