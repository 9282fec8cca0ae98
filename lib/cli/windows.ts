/** Plain text as examples of one length, for pretraining and perplexity. */
import { type EncodedSft, hashFraction, type TextPiece } from '../data/index.ts'
import type { Tokenizer } from '../model/tokenizer.ts'

/** One text file, or one line of JSONL; in pieces, as it was read. */
export type Document = readonly string[]

/** Brings the pieces of each document together. */
export const documentsOf = (pieces: readonly TextPiece[]): Document[] => {
  const documents: string[][] = []
  for (const { text, startsDocument } of pieces) {
    if (startsDocument) documents.push([])
    documents[documents.length - 1].push(text)
  }
  return documents
}

/**
 * Splits documents by a hash of their text, so that a document falls on the same side in every run and a copy of it
 * too. A split that would leave nothing to train on holds nothing out.
 */
export const splitDocuments = (
  documents: readonly Document[],
  share: number,
): { train: Document[]; heldOut: Document[] } => {
  const isHeldOut = documents.map((document) => hashFraction(document.join('')) < share)
  const train = documents.filter((_, i) => !isHeldOut[i])
  return train.length === 0
    ? { train: [...documents], heldOut: [] }
    : { train, heldOut: documents.filter((_, i) => isHeldOut[i]) }
}

/**
 * Cuts documents, each behind an end-of-text token and the last one before another, into windows of `length` tokens. A
 * window begins with the last token of the one before, so that every token but the very first is predicted just once.
 */
export const windowsOf = (documents: readonly Document[], tokenizer: Tokenizer, length: number): EncodedSft[] => {
  const { endOfText } = tokenizer
  const parts = documents.flatMap((document) => [
    Int32Array.of(endOfText),
    ...document.map((text) => tokenizer.encode(text)),
  ])
  const stream = new Int32Array(parts.reduce((total, part) => total + part.length, 1))
  let at = 0
  for (const part of parts) {
    stream.set(part, at)
    at += part.length
  }
  stream[at] = endOfText
  const windows: EncodedSft[] = []
  for (let start = 0; start + 1 < stream.length; start += length - 1) {
    windows.push({ tokens: stream.slice(start, start + length), promptLength: 1, weight: 1 })
  }
  return windows
}

/** UTF-8 bytes of documents. */
export const bytesOf = (documents: readonly Document[]): number =>
  documents.reduce((total, document) => document.reduce((sum, text) => sum + Buffer.byteLength(text), total), 0)
