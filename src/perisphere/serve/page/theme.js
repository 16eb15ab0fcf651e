// Before anything is drawn: the shade that was chosen last, so that no page flashes in the other one.

try {
  document.documentElement.dataset.theme = localStorage.getItem("theme") ?? "";
} catch {
  // storage is forbidden here: the system's shade it is
}
