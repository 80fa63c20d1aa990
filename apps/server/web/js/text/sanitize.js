// The one place where HTML becomes elements.

const {DOMPurify} = globalThis;

const ELEMENTS = [
  "p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "strong", "em", "del", "code", "pre", "blockquote", "ul", "ol",
  "li", "table", "thead", "tbody", "tr", "th", "td", "a", "input", "span"
];
const ATTRIBUTES = ["href", "title", "align", "start", "class", "type", "checked"];

/// A fragment in which nothing runs and nothing loads, from any HTML: elements of the short list above, links to http,
/// https and mailto.
export function sanitized(html) {
  return DOMPurify.sanitize(html, {
    ALLOWED_TAGS: ELEMENTS,
    ALLOWED_ATTR: ATTRIBUTES,
    ALLOWED_URI_REGEXP: /^(?:https?:\/\/|mailto:)/i,
    // The pattern is for every attribute that is not known to be no address.
    ADD_URI_SAFE_ATTR: ["align", "start", "type"],
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    RETURN_DOM_FRAGMENT: true,
  });
}
