// So many of a list that goes on growing, spread evenly over all of it: every one, then every second, every fourth …
// The newest is always the last.
export class Series {
  constructor(most) {
    this.most = most;
    this.items = [];
    this.every = 1;
    this.count = 0; // of all that came
  }

  push(item) {
    if (this.count && (this.count - 1) % this.every) this.items.pop(); // was there only as the newest
    this.items.push(item);
    this.count += 1;
    if (this.items.length <= this.most) return;
    this.every *= 2;
    this.items = this.items.filter((other, i) => i % 2 === 0 || other === item);
  }
}
