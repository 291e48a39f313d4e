// Keeps the laboratory for when there is no network: what the server says, and where it is silent, what it last said.
const KEPT = /\/_static\/|\/laboratory\.html$/;

async function answer(request) {
  const shelf = await caches.open("laboratory"), said = await fetch(request).catch(() => null);
  if (said?.status === 200) await shelf.put(request, said.clone());
  return said ?? (await shelf.match(request, { ignoreSearch: true })) ?? Response.error();
}

self.oninstall = () => self.skipWaiting();
self.onactivate = (event) => event.waitUntil(self.clients.claim());
self.onfetch = (event) => {
  const { method, url } = event.request, { origin, pathname } = new URL(url);
  if (method === "GET" && origin === location.origin && KEPT.test(pathname)) event.respondWith(answer(event.request));
};
