import { KeylimeError } from '../../core/errors.ts'
import { type HashName, hashAlgOf } from '../../core/tpm/algorithms.ts'
import { ByteReader } from '../../core/tpm/byte-reader.ts'
import { u16, u32 } from '../../core/tpm/byte-writer.ts'
import { type PcrSelection, pcrSelection, readPcrSelections } from '../../core/tpm/pcr-selection.ts'
import type { KeyTemplate } from '../../core/tpm/templates.ts'
import type { NativeHandle, NativePolicy, NativeTpm, NativeTpmError } from '../native/native-addon.ts'
import { whenReady } from './when-ready.ts'

export type Hierarchy = 'owner' | 'endorsement' | 'null'

/** A TPM2B_PUBLIC and the TPM2B_PRIVATE that only its parent can open. */
export interface KeyBlob {
  public: Buffer
  private: Buffer
}

/** A structure that the TPM signed: TPMS_ATTEST and TPMT_SIGNATURE. */
export interface SignedAttest {
  attest: Buffer
  signature: Buffer
}

/** How a key under the EK is authorised: with the name algorithm and PolicyOR branches of the EK's template; null is the empty password. */
export type KeyPolicy = Pick<KeyTemplate, 'nameAlg' | 'policyOr'> | null

/** A handle as the connection knows it; see `isLostObject`. */
export type TpmHandle = NativeHandle

/** TPM commands as Keylime needs them. All reject with KeylimeError `tpm_failed`, with `rc`, `rcText` and `op` in its details. */
export interface Tpm {
  createPrimary(hierarchy: Hierarchy, template: KeyTemplate): Promise<{ handle: TpmHandle; public: Buffer }>
  create(parent: TpmHandle, template: KeyTemplate, policy: KeyPolicy): Promise<KeyBlob>
  load(parent: TpmHandle, blob: KeyBlob, policy: KeyPolicy): Promise<TpmHandle>
  readPublic(handle: TpmHandle): Promise<{ public: Buffer; name: Buffer }>
  /** A persistent object (0x81……). Nothing is loaded: `closeHandle` when done. */
  openPersistent(tpmHandle: number): Promise<TpmHandle>
  closeHandle(handle: TpmHandle): Promise<void>
  setAuth(handle: TpmHandle, auth: Buffer): Promise<void>
  /** Kept for the life of this Tpm, also over reconnections. */
  setHierarchyAuth(hierarchy: Hierarchy, auth: Buffer): Promise<void>
  flush(handle: TpmHandle): Promise<void>
  /** Makes a loaded object survive restarts at a persistent handle; an object that is there already is removed first by `openPersistent` and this. */
  evictControl(object: TpmHandle, persistentHandle: number): Promise<void>
  activateCredential(
    key: TpmHandle,
    ek: { handle: TpmHandle; policy: KeyPolicy },
    blob: { idObject: Buffer; encryptedSecret: Buffer },
  ): Promise<Buffer>
  /** Values by PCR number, ascending; PCRs that the bank does not have are missing. */
  pcrRead(hash: HashName, pcrs: readonly number[]): Promise<Map<number, Buffer>>
  /** How often PCRs were changed since the TPM was started, those left out that it does not count, such as PCR 16 (Part 3, TPM2_PCR_Read). */
  pcrUpdates(): Promise<number>
  pcrExtend(hash: HashName, pcr: number, digest: Buffer): Promise<void>
  pcrReset(pcr: number): Promise<void>
  /** Signed with the key's own scheme. */
  quote(key: TpmHandle, nonce: Buffer, hash: HashName, pcrs: readonly number[]): Promise<SignedAttest>
  certify(object: TpmHandle, signer: TpmHandle, qualifyingData: Buffer): Promise<SignedAttest>
  /** The content of an NV index, or null when there is none. */
  nvRead(index: number): Promise<Buffer | null>
  /** NV indices or persistent handles that exist from `first` to `last`, both included. */
  handlesBetween(first: number, last: number): Promise<number[]>
  /** TPM_ALG_ID of all that the TPM implements, in its order. */
  algorithms(): Promise<number[]>
  /** Banks that are allocated, in the order of the TPM; PCRs of one that is not are none. */
  pcrBanks(): Promise<PcrSelection[]>
  /** TPM_PT_x by number: makers, versions, counters, what is switched on (Part 2, section 6.13). @param first in which group; all of it are given. */
  properties(first: number): Promise<Map<number, number>>
  /** TPM2_Startup(CLEAR), which does nothing when the TPM has been started. */
  startup(): Promise<void>
  /** Flushes objects and sessions that crashed clients left behind, where no resource manager does it. @returns how many. */
  flushLeaked(): Promise<number>
  close(): void
}

const HIERARCHY: Record<Hierarchy, number> = { owner: 0x40000001, endorsement: 0x4000000b, null: 0x40000007 }
const TPM_CAP_ALGS = 0
const TPM_CAP_HANDLES = 1
const TPM_CAP_PCRS = 5
const TPM_CAP_TPM_PROPERTIES = 6
const TPM_SU_CLEAR = 0

/** Wraps the addon: structures are made and read here. */
export function wrapTpm(native: NativeTpm): Tpm {
  const call = <T>(run: () => Promise<T>): Promise<T> => whenReady(run).catch((error: NativeTpmError) => Promise.reject(tpmError(error)))
  return {
    createPrimary: (hierarchy, template) => call(() => native.createPrimary(HIERARCHY[hierarchy], template.public)),
    create: (parent, template, policy) => call(() => native.create(parent, template.public, null, nativePolicy(policy))),
    load: (parent, blob, policy) => call(() => native.load(parent, blob.public, blob.private, nativePolicy(policy))),
    readPublic: (handle) => call(() => native.readPublic(handle)),
    openPersistent: (tpmHandle) => call(() => native.fromTpmHandle(tpmHandle)),
    closeHandle: (handle) => call(() => native.closeHandle(handle)),
    setAuth: (handle, auth) => call(() => native.setAuth(handle, auth)),
    setHierarchyAuth: (hierarchy, auth) => call(() => native.setHierarchyAuth(HIERARCHY[hierarchy], auth)),
    flush: (handle) => call(() => native.flush(handle)),
    evictControl: (object, persistentHandle) => call(() => native.evictControl(object, persistentHandle)),
    activateCredential: (key, ek, blob) =>
      call(() => native.activateCredential(key, ek.handle, blob.idObject, blob.encryptedSecret, nativePolicy(ek.policy))),
    pcrRead: (hash, pcrs) => pcrRead((selection) => call(() => native.pcrRead(selection)), hash, pcrs),
    pcrUpdates: async () => (await call(() => native.pcrRead(u32(0)))).counter,
    pcrExtend: (hash, pcr, digest) => call(() => native.pcrExtend(pcr, Buffer.concat([u32(1), u16(hashAlgOf(hash)), digest]))),
    pcrReset: (pcr) => call(() => native.pcrReset(pcr)),
    quote: (key, nonce, hash, pcrs) => call(() => native.quote(key, nonce, pcrSelection(hash, pcrs), null)),
    certify: (object, signer, qualifyingData) => call(() => native.certify(object, signer, qualifyingData, null)),
    nvRead: (index) => call(() => native.nvRead(index)).catch((error) => (isMissingHandle(error) ? null : Promise.reject(error))),
    handlesBetween: (first, last) => handlesBetween((from) => call(() => native.getCapability(TPM_CAP_HANDLES, from, 64)), first, last),
    algorithms: () => algorithms((from) => call(() => native.getCapability(TPM_CAP_ALGS, from, 64))),
    pcrBanks: async () => pcrBanks((await call(() => native.getCapability(TPM_CAP_PCRS, 0, 1))).data),
    properties: async (first) => tpmProperties((await call(() => native.getCapability(TPM_CAP_TPM_PROPERTIES, first, 127))).data),
    startup: () => call(() => native.startup(TPM_SU_CLEAR)),
    flushLeaked: () => call(() => native.flushLeaked()),
    close: () => native.close(),
  }
}

const nativePolicy = (policy: KeyPolicy): NativePolicy =>
  policy ? { nameAlg: hashAlgOf(policy.nameAlg), branches: policy.policyOr } : null

/** TPM2_PCR_Read gives at most eight digests a call, and says which (Part 3, section 22.4). */
async function pcrRead(
  read: (selection: Buffer) => Promise<{ selection: Buffer; digests: Buffer }>,
  hash: HashName,
  pcrs: readonly number[],
): Promise<Map<number, Buffer>> {
  const values = new Map<number, Buffer>()
  for (let wanted = pcrs.toSorted((a, b) => a - b); wanted.length > 0; wanted = wanted.filter((pcr) => !values.has(pcr))) {
    const reply = await read(pcrSelection(hash, wanted))
    const given = readPcrSelections(new ByteReader(reply.selection, 'TPML_PCR_SELECTION')).flatMap((selection) => selection.pcrs)
    const digests = new ByteReader(reply.digests, 'TPML_DIGEST')
    const count = digests.u32()
    if (count === 0) break
    for (const pcr of given.slice(0, count)) values.set(pcr, Buffer.from(digests.sized()))
  }
  return new Map([...values].sort(([a], [b]) => a - b))
}

async function handlesBetween(
  read: (from: number) => Promise<{ more: boolean; data: Buffer }>,
  first: number,
  last: number,
): Promise<number[]> {
  const found: number[] = []
  for (let from = first; from <= last; ) {
    const { more, data } = await read(from)
    const reader = new ByteReader(data, 'TPMS_CAPABILITY_DATA')
    reader.u32() // capability
    const handles = Array.from({ length: reader.u32() }, () => reader.u32())
    found.push(...handles.filter((handle) => handle >= first && handle <= last))
    if (!more || handles.length === 0) break
    from = handles.at(-1)! + 1
  }
  return found
}

/** TPMS_CAPABILITY_DATA with a TPML_ALG_PROPERTY (Part 2, section 10.8.1). */
async function algorithms(read: (from: number) => Promise<{ more: boolean; data: Buffer }>): Promise<number[]> {
  const found: number[] = []
  for (let from = 0; ; from = found.at(-1)! + 1) {
    const { more, data } = await read(from)
    const reader = new ByteReader(data, 'TPMS_CAPABILITY_DATA')
    reader.u32() // capability
    const count = reader.u32()
    for (let i = 0; i < count; i++) {
      found.push(reader.u16())
      reader.u32() // attributes
    }
    if (!more || count === 0) return found
  }
}

/** TPMS_CAPABILITY_DATA with a TPML_TAGGED_TPM_PROPERTY (Part 2, section 10.8.5). */
function tpmProperties(data: Buffer): Map<number, number> {
  const reader = new ByteReader(data, 'TPMS_CAPABILITY_DATA')
  reader.u32() // capability
  const count = reader.u32()
  return new Map(Array.from({ length: count }, () => [reader.u32(), reader.u32()]))
}

function pcrBanks(data: Buffer): PcrSelection[] {
  const reader = new ByteReader(data, 'TPMS_CAPABILITY_DATA')
  reader.u32() // capability
  return readPcrSelections(reader)
}

function tpmError(error: NativeTpmError): KeylimeError {
  if (typeof error.rc !== 'number') return new KeylimeError('tpm_failed', error.message, { cause: error })
  const details = { rc: error.rc, rcText: error.rcText, op: error.op, transport: error.code === 'ERR_TPM_TRANSPORT' }
  const hint = hintOf(error)
  return new KeylimeError('tpm_failed', `TPM command ${error.message} (0x${error.rc.toString(16)})`, {
    cause: error,
    details,
    ...(hint ? { hint } : {}),
  })
}

/** By format-one codes without the number of the parameter, handle or session (Part 2, section 6.6.2). */
const HINTS: Readonly<Record<number, string>> = {
  142: 'a password of the TPM is wrong: tpm_ownerpassword for the endorsement hierarchy, iak_password and idevid_password for device keys. Do not repeat it: wrong passwords lock the TPM',
  162: 'a password of the TPM is wrong: tpm_ownerpassword for the endorsement hierarchy (empty when none was set), iak_password and idevid_password for device keys',
  139: 'the TPM has no object at this handle: check ek_handle, iak_handle and idevid_handle; `tpm2_getcap handles-persistent` shows those that are there',
  133: 'the hierarchy is switched off: switch the endorsement hierarchy on in the firmware’s setup',
  129: 'this TPM cannot do this kind of key: check tpm_encryption_alg',
  131: 'this TPM cannot do this hash: check tpm_hash_alg; `tpm2_getcap algorithms` shows what it can',
  146: 'this TPM cannot do this signature scheme: check tpm_signing_alg; `tpm2_getcap algorithms` shows what it can',
  166: 'this TPM does not know this curve: check tpm_encryption_alg; `tpm2_getcap ecc-curves` shows those that it knows',
}

/** Its key is protected like any other of this kind, because registrars take no other: each power cut with a key in use counts as a wrong password. */
const LOCKOUT =
  'the TPM is in lockout, after too many wrong passwords or power cuts: wait (`tpm2_getcap properties-variable` shows how long), or end it with `tpm2_dictionarylockout --clear-lockout`'

function hintOf({ rc, op }: NativeTpmError): string | undefined {
  if (rc === 0x921) return LOCKOUT
  if (rc === 0x902) return 'the TPM has no free slot for objects: use the resource manager /dev/tpmrm0'
  const known = HINTS[(rc ?? 0) & 0xff00bf]
  if (known && (rc ?? 0) < 0x1000 && (rc ?? 0) & 0x80) return known
  if (op === 'open') return 'check the TCTI setting, and that this user may open the device (group tss)'
  return undefined
}

const rcOf = (error: unknown): number | undefined =>
  error instanceof KeylimeError && typeof error.details?.['rc'] === 'number' ? error.details['rc'] : undefined

const RC_INITIALIZE = 0x100
const ESYS_BAD_TR = 0x70018
const MARSHAL_LAYER = 0x90000

/** A format-one response code without the number of the parameter, handle or session it speaks of (Part 2, section 6.6.2). */
const formatOne = (error: unknown): number => (rcOf(error) ?? 0) & 0xff00bf

const RC_VALUE = 0x084
const RC_HANDLE = 0x08b
const RC_SIZE = 0x095
const RC_INTEGRITY = 0x09f
const RC_BINDING = 0x0a5

/** There is no such object or index. */
const isMissingHandle = (error: unknown): boolean => formatOne(error) === RC_HANDLE

/** The error says that loaded objects are gone: transport error, restarted TPM (TPM_RC_REFERENCE_x) or a handle of an earlier connection. */
export function isLostObject(error: unknown): boolean {
  const rc = rcOf(error)
  if (rc === undefined) return false
  const isReference = rc >= 0x910 && rc <= 0x916
  return (error as KeylimeError).details?.['transport'] === true || rc === ESYS_BAD_TR || rc === RC_INITIALIZE || isReference
}

/** A key blob that this TPM, or this EK, cannot open: made under another seed, for another parent, or damaged. */
export function isForeignBlob(error: unknown): boolean {
  return [RC_INTEGRITY, RC_BINDING, RC_SIZE, RC_VALUE].includes(formatOne(error)) || ((rcOf(error) ?? 0) & 0xff0000) === MARSHAL_LAYER
}
