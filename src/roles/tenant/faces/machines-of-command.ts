import { KeylimeError } from '../../../core/errors.ts'
import { checkSelection, type FleetOptions, isFleet, type Selection, stateOf } from '../fleet/selection.ts'
import type { MachineFilter } from '../list/list-machines.ts'
import type { TenantCommand, TenantOptions } from '../tenant-options.ts'

type Arguments = Readonly<Record<string, unknown>>

const DEFAULT_PARALLEL = 8
const MAX_PARALLEL = 256

const textsOf = (argv: Arguments, name: string): string[] =>
  [argv[name] ?? []]
    .flat()
    .map(String)
    .filter((text) => text !== '')
const textOf = (argv: Arguments, name: string): string | undefined => textsOf(argv, name)[0]

function selectionOf(argv: Arguments, word: TenantCommand): Selection {
  const positional = textsOf(argv, 'ids')
  return {
    ids: [...textsOf(argv, 'uuid'), ...(word === 'rename' ? positional.slice(0, 1) : positional)],
    hosts: textsOf(argv, 'targethost'),
    all: argv['all'] === true && word !== 'explain',
    policy: textOf(argv, 'policy'),
    state: stateOf(textOf(argv, 'state')),
    from: textOf(argv, 'from'),
  }
}

/** How the word works through several machines; null when it is for one. @throws KeylimeError `usage`. */
export function fleetOf(argv: Arguments, word: TenantCommand): FleetOptions | null {
  const selection = selectionOf(argv, word)
  checkSelection(word, selection)
  if (word === 'list') return null
  const { 'dry-run': dryRun, parallel } = argv
  if (!isFleet(selection) && dryRun !== true && argv['resume'] === undefined) return null
  if (selection.ids.length + selection.hosts.length === 0 && !isFleet(selection))
    throw new KeylimeError('usage', 'which machines?', { hint: 'name them with -u, -t or --from, or use --all, --policy or --state' })
  const ofOne = ['cv_targethost', 'targetport'].filter((name) => isFleet(selection) && argv[name] !== undefined)
  if (ofOne.length > 0)
    throw new KeylimeError('usage', `--${ofOne[0]} is of one machine`, { hint: 'name it for each machine in a list: --from' })
  const many = parallel === undefined ? DEFAULT_PARALLEL : Number(parallel)
  if (!Number.isInteger(many) || many < 1 || many > MAX_PARALLEL)
    throw new KeylimeError('usage', `--parallel must be a whole number from 1 to ${MAX_PARALLEL}`)
  return { selection, parallel: many, dryRun: dryRun === true, resume: textOf(argv, 'resume') }
}

/** Which machines `list` shows. @throws KeylimeError `usage`. */
export function filterOf(argv: Arguments): MachineFilter {
  const { ids, hosts, policy, state } = selectionOf(argv, 'list')
  return { words: [...ids, ...hosts], policy, state, asks: argv['ask'] !== false }
}

/** The one machine of a word that is not for several. @throws KeylimeError `usage`. */
export function machineOf(argv: Arguments, word: TenantCommand): Pick<TenantOptions, 'agentId' | 'targetHost' | 'newId'> {
  const { ids, hosts } = selectionOf(argv, word)
  const newId = word === 'rename' ? textsOf(argv, 'ids')[1] : undefined
  if (word === 'rename' && textsOf(argv, 'ids').length !== 2)
    throw new KeylimeError('usage', 'rename takes two ids', { hint: '`keylime tenant rename OLD NEW`' })
  const isOne = ids.length <= 1 && hosts.length <= 1
  return {
    ...(isOne && ids[0] ? { agentId: ids[0] } : {}),
    ...(isOne && hosts[0] ? { targetHost: hosts[0] } : {}),
    ...(newId ? { newId } : {}),
  }
}
