"use strict";
// Uploads with a bar, by drag and drop as well; without this script the same forms are sent by the browser itself.
document.querySelectorAll("form.upload").forEach((form) => {
  const drop = form.querySelector(".drop");
  const inputs = [...form.querySelectorAll("input[type=file]")];
  const bar = form.querySelector("progress");
  const wrong = form.querySelector(".wrong");
  const button = form.querySelector("button");
  const say = (words) => { wrong.textContent = words; wrong.hidden = words === ""; };

  for (const kind of ["dragenter", "dragover"]) {
    drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    // The first file fills the first field; of two, one that is called so holds the labels.
    for (const file of event.dataTransfer.files) {
      const index = inputs.length > 1 && /label|^y/i.test(file.name) ? 1 : 0;
      const held = new DataTransfer();
      held.items.add(file);
      inputs[index].files = held.files;
      Console.say(`${file.name} chosen`);
    }
  });

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    say("");
    const call = new XMLHttpRequest();
    call.open("POST", form.action);
    call.setRequestHeader("X-CSRF-Token", Console.token());
    call.setRequestHeader("Accept", "application/json");
    call.responseType = "json";
    call.upload.addEventListener("progress", (at) => { if (at.lengthComputable) bar.value = at.loaded / at.total; });
    const done = () => { button.disabled = false; bar.hidden = true; };
    call.addEventListener("error", () => { done(); say("The console does not answer; is it running?"); });
    call.addEventListener("load", () => {
      done();
      if (call.status === 201) location.assign(call.response.address);
      else say(call.response && call.response.error ? call.response.error.message : `The console answered ${call.status}.`);
    });
    button.disabled = true;
    bar.hidden = false;
    call.send(new FormData(form));
  });
});
