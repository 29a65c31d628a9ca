import { createECDH, type KeyObject } from 'node:crypto'
import { childrenOf, expectTag, readElement, readInteger, TAG } from '../pki/der.ts'
import { derDefect } from '../pki/der-defect.ts'

interface Curve {
  /** Name for OpenSSL. */
  name: string
  p: bigint
  a: bigint
  n: bigint
}

const P256 = 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n
const P384 = 2n ** 384n - 2n ** 128n - 2n ** 96n + 2n ** 32n - 1n
const P521 = 2n ** 521n - 1n
const CURVES: Record<string, Curve | undefined> = {
  'P-256': { name: 'prime256v1', p: P256, a: -3n, n: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n },
  'P-384': {
    name: 'secp384r1',
    p: P384,
    a: -3n,
    n: 0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
  },
  'P-521': {
    name: 'secp521r1',
    p: P521,
    a: -3n,
    n: 2n ** 521n - 2n ** 260n + 0xa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409n,
  },
  secp256k1: {
    name: 'secp256k1',
    p: 2n ** 256n - 2n ** 32n - 977n,
    a: 0n,
    n: 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n,
  },
}

/** In Jacobian coordinates; z = 0 is the point at infinity. */
type Point = readonly [x: bigint, y: bigint, z: bigint]

export const supportsCurve = (name: string | undefined): boolean => CURVES[name ?? ''] !== undefined

/**
 * ECDSA over a digest that somebody else computed (FIPS 186-5, section 6.4.2): OpenSSL's interface in node would hash it once more. Only public
 * values are handled, so running time tells nothing. @param signature DER SEQUENCE of r and s, in its shortest form as OpenSSL demands it.
 */
export function verifyDigestEcdsa(key: KeyObject, digest: Buffer, signature: Buffer): boolean {
  const jwk = key.export({ format: 'jwk' }) as { crv?: string; x?: string; y?: string }
  const curve = CURVES[jwk.crv ?? '']
  if (!curve) return false
  const [r, s] = readSignature(signature) ?? [0n, 0n]
  const { p, n } = curve
  if (r < 1n || r >= n || s < 1n || s >= n) return false
  const orderBits = n.toString(2).length
  const excess = Math.max(0, digest.length * 8 - orderBits)
  const e = BigInt(`0x${digest.toString('hex') || '0'}`) >> BigInt(excess)
  const w = inverse(s, n)
  const [u1, u2] = [mod(e * w, n), mod(r * w, n)]
  const [x, , z] = add(multiply(generator(curve), u1, curve), multiply([number(jwk.x), number(jwk.y), 1n], u2, curve), curve)
  if (z === 0n) return false
  const zi = inverse(z, p)
  return mod(mod(x * zi * zi, p), n) === r
}

const number = (text: string | undefined) => BigInt(`0x${Buffer.from(text ?? '', 'base64url').toString('hex') || '0'}`)

function readSignature(signature: Buffer): [bigint, bigint] | null {
  try {
    const outer = readElement(signature)
    const [r, s, ...more] = childrenOf(expectTag(outer, TAG.sequence, 'the signature'))
    return derDefect(signature) === undefined && more.length === 0 ? [readInteger(r), readInteger(s)] : null
  } catch {
    return null
  }
}

function generator({ name }: Curve): Point {
  const one = createECDH(name)
  one.setPrivateKey(Buffer.from([1]))
  const point = one.getPublicKey().subarray(1)
  const half = point.length / 2
  return [BigInt(`0x${point.toString('hex', 0, half)}`), BigInt(`0x${point.toString('hex', half)}`), 1n]
}

function mod(value: bigint, modulus: bigint): bigint {
  const rest = value % modulus
  return rest < 0n ? rest + modulus : rest
}

function inverse(value: bigint, modulus: bigint): bigint {
  let [a, b, u, v] = [mod(value, modulus), modulus, 1n, 0n]
  while (a > 1n) {
    const q = b / a
    ;[a, b, u, v] = [b - q * a, a, v - q * u, u]
    if (a === 0n) return 0n
  }
  return mod(u, modulus)
}

function double([x, y, z]: Point, { p, a }: Curve): Point {
  if (z === 0n || y === 0n) return [1n, 1n, 0n]
  const yy = mod(y * y, p)
  const s = mod(4n * x * yy, p)
  const zz = mod(z * z, p)
  const m = mod(3n * x * x + a * zz * zz, p)
  const x3 = mod(m * m - 2n * s, p)
  return [x3, mod(m * (s - x3) - 8n * yy * yy, p), mod(2n * y * z, p)]
}

function add(one: Point, two: Point, curve: Curve): Point {
  if (one[2] === 0n) return two
  if (two[2] === 0n) return one
  const { p } = curve
  const [z1z1, z2z2] = [mod(one[2] * one[2], p), mod(two[2] * two[2], p)]
  const [u1, u2] = [mod(one[0] * z2z2, p), mod(two[0] * z1z1, p)]
  const [s1, s2] = [mod(one[1] * two[2] * z2z2, p), mod(two[1] * one[2] * z1z1, p)]
  if (u1 === u2) return s1 === s2 ? double(one, curve) : [1n, 1n, 0n]
  const h = mod(u2 - u1, p)
  const hh = mod(h * h, p)
  const hhh = mod(h * hh, p)
  const r = mod(s2 - s1, p)
  const v = mod(u1 * hh, p)
  const x3 = mod(r * r - hhh - 2n * v, p)
  return [x3, mod(r * (v - x3) - s1 * hhh, p), mod(h * one[2] * two[2], p)]
}

function multiply(point: Point, scalar: bigint, curve: Curve): Point {
  let result: Point = [1n, 1n, 0n]
  for (const bit of scalar.toString(2)) {
    result = double(result, curve)
    if (bit === '1') result = add(result, point, curve)
  }
  return result
}
