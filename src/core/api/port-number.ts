import { z } from 'zod'

const digits = z
  .string()
  .regex(/^\d{1,5}$/, 'is not a port number')
  .transform(Number)

/** A port: a number or its digits as a text, and nothing else that JavaScript would make a number of (`true`, `[1]`, `"0x10"`). */
export const portNumber = z.union([z.number(), digits]).pipe(z.number().int().min(0).max(65_535))
