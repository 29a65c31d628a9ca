import { whenReady } from '../../../../src/io/tpm/when-ready.ts'

const warning = (rc: number) => Object.assign(new Error('x'), { rc })

test.each([0x908, 0x90a, 0x920, 0x922, 0x923, 0xb0922])('a command that a busy TPM leaves undone (%i) is given again', async (rc) => {
  let left = 3
  expect(await whenReady(async () => (left-- > 0 ? Promise.reject(warning(rc)) : 'done'))).toBe('done')
})

/** LOCKOUT, no memory, a wrong value, a format-one code that looks like RETRY, a broken connection. */
test.each([0x921, 0x902, 0x1c4, 0x9a2, 0xa000a])('any other failure (%i) is one at once', async (rc) => {
  let count = 0
  const run = async () => {
    count++
    throw warning(rc)
  }
  await expect(whenReady(run)).rejects.toMatchObject({ rc })
  expect(count).toBe(1)
})
