// Which model is asked: the list in the header, and the banner where answers are simulated.

export class Models {
  #select = document.getElementById("model");
  #banner = document.getElementById("simulated");

  /** `onChoice(id)` is called when the person chooses another model. */
  constructor(onChoice) {
    this.#select.addEventListener("change", () => {
      this.#showBanner(this.chosen);
      onChoice(this.chosen);
    });
  }

  /** Id of the model in use; "" while none is known. */
  get chosen() {
    return this.#select.value;
  }

  /** Offers `ids`; `preferred` is chosen where it is among them. */
  show(ids, preferred) {
    const chosen = ids.includes(preferred) ? preferred : (ids[0] ?? "");
    const options = ids.map((id) => new Option(id, id, false, id === chosen));
    this.#select.replaceChildren(...(options.length ? options : [new Option("no model", "")]));
    this.#select.disabled = ids.length < 2;
    this.#showBanner(chosen);
  }

  /** What an answer says of its own origin; once simulated, the banner stays. */
  noteFingerprint(fingerprint) {
    if (fingerprint.includes("simulated")) this.#banner.hidden = false;
  }

  #showBanner(id) {
    this.#banner.hidden = !id.includes("simulated");
  }
}
