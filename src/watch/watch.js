"use strict";
const list = document.getElementById("events");
new EventSource("/events").onmessage = (message) => {
  const item = document.createElement("li");
  item.textContent = message.data;
  list.append(item);
  if (list.children.length > 200) list.firstChild.remove();
};
