// What the official builder does not know by itself.
module.exports = {
  // The usual ids hash where the sources lie: they would differ from one machine's folder to another's.
  optimization: { moduleIds: 'natural', chunkIds: 'natural' },
  module: {
    rules: [
      {
        test: /\.ts$/,
        type: 'javascript/auto',
        loader: 'builtin:swc-loader',
        options: { jsc: { parser: { syntax: 'typescript' }, target: 'es2022' } },
      },
    ],
  },
};
