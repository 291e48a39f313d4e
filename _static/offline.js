// Keeps the laboratory for when there is no network: what the server says, and where it says nothing, what it last said.
const KEPT = /\/_static\/|\/laboratory\.html$/;

async function answer(request) {
  const shelf = await caches.open("laboratory");
  try {
    const said = await fetch(request);
    if (said.status === 200) await shelf.put(request, said.clone());
    return said;
  } catch (error) {
    return (await shelf.match(request, { ignoreSearch: true })) ?? Promise.reject(error);
  }
}

self.oninstall = () => self.skipWaiting();
self.onactivate = (event) => event.waitUntil(self.clients.claim());
self.onfetch = (event) => {
  const { method, url } = event.request, { origin, pathname } = new URL(url);
  if (method === "GET" && origin === location.origin && KEPT.test(pathname)) event.respondWith(answer(event.request));
};
