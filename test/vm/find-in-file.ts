import fs from 'node:fs'

/** Whether the bytes are anywhere in the file, which may be larger than the memory. */
export async function contains(file: string, bytes: Buffer): Promise<boolean> {
  let tail = Buffer.alloc(0)
  for await (const chunk of fs.createReadStream(file, { highWaterMark: 16 << 20 })) {
    const window = Buffer.concat([tail, chunk as Buffer])
    if (window.includes(bytes)) return true
    tail = window.subarray(Math.max(0, window.length - bytes.length + 1))
  }
  return false
}
