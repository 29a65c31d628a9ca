/** A hash of the kernel (Linux, crypto/hash_info.c). */
export interface KernelHash {
  /** Bytes of a digest. */
  size: number
  /** As `createHash` calls it; null for one that OpenSSL does not have. */
  node: string | null
}

/** By the names that logs have. `sm3-256` is that of kernels before 5.20. */
export const KERNEL_HASHES: ReadonlyMap<string, KernelHash> = new Map<string, KernelHash>([
  ['md4', { size: 16, node: null }],
  ['md5', { size: 16, node: 'md5' }],
  ['sha1', { size: 20, node: 'sha1' }],
  ['rmd128', { size: 16, node: null }],
  ['rmd160', { size: 20, node: 'ripemd160' }],
  ['rmd256', { size: 32, node: null }],
  ['rmd320', { size: 40, node: null }],
  ['sha224', { size: 28, node: 'sha224' }],
  ['sha256', { size: 32, node: 'sha256' }],
  ['sha384', { size: 48, node: 'sha384' }],
  ['sha512', { size: 64, node: 'sha512' }],
  ['wp256', { size: 32, node: null }],
  ['wp384', { size: 48, node: null }],
  ['wp512', { size: 64, node: null }],
  ['tgr128', { size: 16, node: null }],
  ['tgr160', { size: 20, node: null }],
  ['tgr192', { size: 24, node: null }],
  ['sm3', { size: 32, node: 'sm3' }],
  ['sm3-256', { size: 32, node: 'sm3' }],
  ['streebog256', { size: 32, node: null }],
  ['streebog512', { size: 64, node: null }],
  ['sha3-256', { size: 32, node: 'sha3-256' }],
  ['sha3-384', { size: 48, node: 'sha3-384' }],
  ['sha3-512', { size: 64, node: 'sha3-512' }],
])
