import type { PcrReplay } from '../../core/ima/pcr-replay.ts'
import { loadAddon } from './load-addon.ts'

/** An object of the open TPM connection; worthless after a transport error or a restart of the TPM. */
export type NativeHandle = number

/** Authorisation of a key under the EK: policy session of `nameAlg`, PolicySecret(endorsement), PolicyOR over `branches`. null: its password. */
export type NativePolicy = { nameAlg: number; branches: Uint8Array[] } | null

/** Rejections carry `code` (ERR_TPM, ERR_TPM_TRANSPORT, ERR_TPM_CLOSED), `rc` (TSS2_RC), `rcText` and `op`. */
export interface NativeTpmError extends Error {
  code: string
  rc: number
  rcText: string
  op: string
}

/** One open TPM: marshalled structures in and out. Commands run one after another on a thread of their own. */
export interface NativeTpm {
  startup(type: number): Promise<void>
  getCapability(capability: number, property: number, count: number): Promise<{ more: boolean; data: Buffer }>
  getRandom(count: number): Promise<Buffer>
  createPrimary(hierarchy: number, publicArea: Uint8Array, sensitive?: Uint8Array): Promise<{ handle: NativeHandle; public: Buffer }>
  create(
    parent: NativeHandle,
    publicArea: Uint8Array,
    sensitive: Uint8Array | null,
    policy: NativePolicy,
  ): Promise<{ public: Buffer; private: Buffer }>
  load(parent: NativeHandle, publicArea: Uint8Array, privateArea: Uint8Array, policy: NativePolicy): Promise<NativeHandle>
  readPublic(handle: NativeHandle): Promise<{ public: Buffer; name: Buffer }>
  fromTpmHandle(tpmHandle: number): Promise<NativeHandle>
  closeHandle(handle: NativeHandle): Promise<void>
  setAuth(handle: NativeHandle, auth: Uint8Array): Promise<void>
  setHierarchyAuth(hierarchy: number, auth: Uint8Array): Promise<void>
  flush(handle: NativeHandle): Promise<void>
  flushLeaked(): Promise<number>
  evictControl(object: NativeHandle, persistentHandle: number): Promise<void>
  activateCredential(key: NativeHandle, ek: NativeHandle, idObject: Uint8Array, secret: Uint8Array, policy: NativePolicy): Promise<Buffer>
  pcrRead(selection: Uint8Array): Promise<{ counter: number; selection: Buffer; digests: Buffer }>
  pcrExtend(pcr: number, digestValues: Uint8Array): Promise<void>
  pcrReset(pcr: number): Promise<void>
  quote(
    key: NativeHandle,
    qualifyingData: Uint8Array,
    selection: Uint8Array,
    scheme: Uint8Array | null,
  ): Promise<{ attest: Buffer; signature: Buffer }>
  certify(
    object: NativeHandle,
    signer: NativeHandle,
    qualifyingData: Uint8Array,
    scheme: Uint8Array | null,
  ): Promise<{ attest: Buffer; signature: Buffer }>
  nvRead(index: number): Promise<Buffer>
  unseal(handle: NativeHandle): Promise<Buffer>
  contextSave(handle: NativeHandle): Promise<Buffer>
  contextLoad(context: Uint8Array): Promise<NativeHandle>
  setTimeout(milliseconds: number): Promise<void>
  /** Makes the running command fail with a transport error. */
  interrupt(): void
  close(): void
}

export interface NativeAddon {
  /** @throws TypeError for what is no SubjectPublicKeyInfo of an RSA or EC key. */
  DigestVerifier: new (
    spki: Uint8Array,
  ) => { verify(signed: Uint8Array, signature: Uint8Array): boolean }
  PcrReplay: new (logHash: string, bank: string, start: Uint8Array, quoted: Uint8Array) => PcrReplay
  Tpm: new (tcti: string) => NativeTpm
  /** mount(2) of a tmpfs, nosuid and nodev; errors carry `errno`. */
  mountTmpfs(directory: string, options: string): void
  unmount(directory: string): void
  sendDatagram(socketPath: string, text: string): void
  findUser(name: string): { uid: number; gid: number } | null
  findGroup(name: string): number | null
  /** For the whole process: what is freed goes back to the system at once (mallopt(3)), and what was freed before goes now (malloc_trim(3)). */
  returnFreedMemory(): void
  /** For the whole process: pages that lie free between blocks that are in use go back to the system (malloc_trim(3)). Some milliseconds for a heap of 600 MB. */
  trimHeap(): void
  /** Of the executable, what the start has read and nobody reads again: it is in the page cache, and counts no longer as memory of this process (madvise(2)). */
  forgetReadPages(): void
  /** Descriptor of a new file in memory, from which code may be mapped (memfd_create(2)). */
  memoryFile(name: string): number
  /** Exclusive flock(2); false when another process holds it. */
  tryLock(fd: number): boolean
}

let loaded: NativeAddon | undefined

/** The addon, loaded at first use: commands that need no TPM do not pay for it. */
export function nativeAddon(): NativeAddon {
  loaded ??= loadAddon<NativeAddon>('keylime_native.node')
  return loaded
}
