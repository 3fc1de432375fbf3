// @ts-check
// Which worker of which variant, as one text: of its chats `7`, of what reads for a job `7.imatrix`. The server writes the same.

/**
 * @param {{variant_id: number, purpose: string}} row
 * @returns {string}
 */
export function residentKey({ variant_id: id, purpose }) {
  return purpose === "chat" ? String(id) : `${id}.${purpose}`;
}

/**
 * Whose a part of the memory is; null: nobody's.
 * @param {{variant_id: number | null, purpose: string | null}} row
 */
export function ownerKey({ variant_id, purpose }) {
  return variant_id === null || purpose === null ? null : residentKey({ variant_id, purpose });
}
