// Libraries that not every visit needs, fetched once. They are classic scripts that define one global.

const loading = new Map();

/// The global that /lib/FILE.js defines. Fails when the file cannot be fetched; the next call tries again.
export function loadLibrary(file, global) {
  if (!loading.has(file))
    loading.set(file, new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = `/lib/${file}.js`;
      script.onload = () => resolve(globalThis[global]);
      script.onerror = () => {
        loading.delete(file);
        script.remove();
        reject(new Error(`/lib/${file}.js could not be loaded`));
      };
      document.head.append(script);
    }));
  return loading.get(file);
}
