/** A copy in memory of its own, for what is kept long: a piece of Node's pool, which `Buffer.from` gives, keeps 64 KiB alive as long as it lives. */
export function ownCopy(bytes: Uint8Array): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length) // each byte is written
  copy.set(bytes)
  return copy
}
