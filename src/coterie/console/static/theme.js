// Sets the chosen theme before the page is drawn.
(function () {
  "use strict";
  try {
    const chosen = localStorage.getItem("coterie-theme");
    if (chosen) document.documentElement.dataset.theme = chosen;
  } catch (error) { /* storage is off: the theme of the system is used */ }
})();
