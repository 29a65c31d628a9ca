/** The most that a plaintext may have so that IV, tag and base64 keep it below the limit of the sealed text, in bytes. */
export const plaintextLimit = (sealedLimit: number): number => Math.floor(sealedLimit / 4) * 3 - 32
