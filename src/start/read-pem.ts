import { readFile } from 'node:fs/promises'
import { AppError } from '../core/base/app-error.ts'

/** The text of a PEM file that a setting names. AppError `usage` names both when it cannot be read or is none; its text never shows. */
export async function readPem(setting: string, path: string): Promise<string> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    throw new AppError('usage', `${setting} names ${path}, which cannot be read (${(error as NodeJS.ErrnoException).code ?? String(error)}).`, { cause: error, at: path })
  }
  if (!text.includes('-----BEGIN ')) throw new AppError('usage', `${setting} names ${path}, which is no PEM file (-----BEGIN …).`, { at: path })
  return text
}
