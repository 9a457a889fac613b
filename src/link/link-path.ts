/** Where links are taken: the path, and the WebSocket subprotocol, which names the link's version. */
export const LINK_PATH = '/link';
export const LINK_SUBPROTOCOL = 'weir.link.v1';
