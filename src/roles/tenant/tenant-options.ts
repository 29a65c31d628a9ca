import type { Droppable } from '../../core/policy/demand-changes.ts'

/** What the operator asked for, whichever face the words came through. Empty text and undefined both mean: not given. */
export interface TenantOptions {
  readonly command: string
  readonly agentId?: string
  /** `agentId` is whole, not the beginning of one. */
  readonly exactId?: boolean
  readonly targetHost?: string
  /** `rename`: the id that it gets. */
  readonly newId?: string
  /** Do not ask. */
  readonly yes?: boolean
  readonly targetPort?: number
  readonly registrarHost?: string
  readonly registrarPort?: number
  readonly verifierHost?: string
  readonly verifierPort?: number
  readonly verifierId?: string
  /** The agent's address as the verifier sees it. */
  readonly cvTargetHost?: string
  readonly noVerifierCheck?: boolean
  readonly file?: string
  /** CA directory; `default` is KEYLIME_DIR/ca. */
  readonly cert?: string
  /** Directories, all of them together. */
  readonly include?: readonly string[]
  readonly keyFile?: string
  readonly payloadFile?: string
  readonly tpmPolicy?: string
  readonly runtimePolicy?: string
  readonly runtimePolicyName?: string
  readonly runtimePolicyKey?: string
  readonly runtimePolicyChecksum?: string
  /** The same by URL (upstream's face). */
  readonly runtimePolicyUrl?: string
  /** Keys for signed files in the place of the policy's: certificates or keys, PEM or DER (upstream's face, deprecated there). */
  readonly imaKeys?: readonly string[]
  /** Detached signatures of these keys in the same order, and the keys to check them with. */
  readonly imaKeySigs?: readonly string[]
  readonly imaKeySigKeys?: readonly string[]
  /** The same by URL; the keys to check with are files. */
  readonly imaKeyUrls?: readonly string[]
  readonly imaKeySigUrls?: readonly string[]
  readonly imaKeySigUrlKeys?: readonly string[]
  /** Allow list of old form in place of a runtime policy, and its excludes (upstream's face). */
  readonly allowlist?: string
  readonly allowlistUrl?: string
  readonly exclude?: string
  readonly mbPolicy?: string
  readonly mbPolicyName?: string
  /** `update`: what may be taken away. */
  readonly drop?: readonly Droppable[]
  /** Only for a machine whose enrolment is taken over by another system or TPM: the key share of the old one is not handed on. */
  readonly takesOver?: boolean
  /** `update` drops whatever it does not name (upstream's face). */
  readonly replaces?: boolean
  readonly verify?: boolean
  readonly agentApiVersion?: string
  readonly pushModel?: boolean
  /** A machine that is asked gets its payload as one that comes by itself: sealed to its TPM, from the verifier. */
  readonly sealed?: boolean
  readonly passwordFile?: string
  /** `explain`: every failure, not only the first. */
  readonly all?: boolean
  /** `explain`: judge the stored evidence again here. */
  readonly judge?: boolean
  /** `explain`: file for the smallest change. */
  readonly patch?: string
  /** `explain`: numbers of the failures that `patch` shall accept; all without it. */
  readonly only?: string
  /** `explain`: false for not asking this machine's package manager. */
  readonly packages?: boolean
  /** `expect`, `approve`: hash of the EK, and serial of its certificate, as the operator wrote them. */
  readonly ekHash?: string
  readonly serial?: string
  /** `expect`: shown in the list. */
  readonly note?: string
  /** `expect`: show all. */
  readonly lists?: boolean
  /** `expect`: take back what was said. */
  readonly forgets?: boolean
  /** `approve`: the opposite. */
  readonly refuses?: boolean
  /** Wait for the first verdict (our face; upstream's returns once the verifier knows the agent). */
  readonly wait: boolean
  readonly timeoutSeconds: number
  /** In place of it for a machine that brings its evidence by itself, when nobody named one. */
  readonly comesWithinSeconds?: number
  /** `timeoutSeconds` was asked for: no single request may take longer either. */
  readonly hurried?: boolean
  /** Wait until the script of the payload has ended (our face). */
  readonly waitScript?: boolean
  /** What people call the machine; empty: no name any more. */
  readonly name?: string
  /** Deliveries are counted in the metadata of the enrolment (our face). */
  readonly counts?: boolean
}

export const COMMANDS = [
  'add',
  'update',
  'delete',
  'list',
  'history',
  'status',
  'explain',
  'cvstatus',
  'regstatus',
  'reglist',
  'cvlist',
  'bulkinfo',
  'attest',
  'reactivate',
  'revoke',
  'replace',
  'forget',
  'rename',
  'regdelete',
  'expect',
  'pending',
  'approve',
  'ekroots',
  'revocations',
  'addruntimepolicy',
  'updateruntimepolicy',
  'showruntimepolicy',
  'deleteruntimepolicy',
  'listruntimepolicy',
  'addmbpolicy',
  'updatembpolicy',
  'showmbpolicy',
  'deletembpolicy',
  'listmbpolicy',
] as const

export type TenantCommand = (typeof COMMANDS)[number]

const ALIASES: Record<string, TenantCommand> = {
  addallowlist: 'addruntimepolicy',
  showallowlist: 'showruntimepolicy',
  deleteallowlist: 'deleteruntimepolicy',
}

/** The command that a word means, or undefined. */
export function tenantCommand(word: string): TenantCommand | undefined {
  return ALIASES[word] ?? COMMANDS.find((command) => command === word)
}
