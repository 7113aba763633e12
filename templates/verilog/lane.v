// One lane: sum <= (first ? start : sum) + term + 1, where the term of one step before is x * w; with
// pre x * (w +- (x << BETA)); with gap |(x << LEFT) - w| (GAP 1) or its square (GAP 2); 0 where
// counts is 0. PRE: 1 plus, 2 minus, 0 none. W: bits, S: signed. WT bits hold every term, WP every x
// where pre is 1.
module crystal_lane #(
    parameter WX = 1, parameter SX = 0, parameter WW = 1, parameter WT = 1, parameter WSUM = 1,
    parameter PRE = 0, parameter BETA = 0, parameter GAP = 0, parameter LEFT = 0, parameter WP = WX
) (
    input  wire clk,
    input  wire advance,
    input  wire first,
    input  wire pre,
    input  wire gap,
    input  wire counts,
    input  wire [WX-1:0] x,
    input  wire signed [WW-1:0] w,
    input  wire [WSUM-1:0] start,
    output wire [WSUM-1:0] sum
);
    localparam WS = (PRE == 0) ? WW : ((WW > WX + BETA) ? WW : WX + BETA) + 2;
    localparam WD = (GAP == 0) ? 1 : ((WW > WX + LEFT) ? WW : WX + LEFT) + 2;
    wire signed [WX:0] number = {(SX != 0) & x[WX-1], x};
    wire signed [WS-1:0] beside;
    wire signed [WD-1:0] apart;
    wire [WT-1:0] term;
    wire unused_kinds = &{1'b0, pre, gap};
    reg [WT-1:0] product;
    /* verilator lint_off WIDTH */
    generate
        if (PRE == 0) begin : squares
            assign beside = w;
        end else begin : squares
            wire signed [WP:0] squared = {(SX != 0) & x[WX-1], x[WP-1:0]};
            wire signed [WS-1:0] own = pre ? (squared <<< BETA) : 0;
            assign beside = (PRE == 1) ? w + own : w - own;
        end
        if (GAP == 0) begin : gaps
            assign apart = 1'b0;
        end else begin : gaps
            assign apart = (number <<< LEFT) - w;
        end
        if (GAP == 0) begin : differences
            assign term = number * beside;
        end else if (GAP == 1) begin : differences
            wire signed [WT-1:0] whole = number * beside;
            wire signed [WT-1:0] magnitude = apart[WD-1] ? -apart : apart;
            assign term = gap ? magnitude : whole;
        end else begin : differences
            localparam WM = (WD > WS) ? ((WD > WX) ? WD : WX + 1) : ((WS > WX) ? WS : WX + 1);
            wire signed [WM-1:0] p = gap ? apart : number;
            wire signed [WM-1:0] q = gap ? apart : beside;
            assign term = p * q;
        end
    endgenerate
    wire [WSUM-1:0] wide = $signed(product);
    /* verilator lint_on WIDTH */
    // The 1 is the price of a subtraction, whose operands no tool swaps: one look-up table a bit.
    // Its lowest bit is kept inverted, as the chain of carries has it: one look-up table less.
    wire unused_apart = &{1'b0, apart};
    localparam [WSUM-1:0] LOW = 1;
    reg [WSUM-1:0] held;
    wire [WSUM-1:0] next = wide - (first ? ~start : ~sum);
    assign sum = held ^ LOW;
    always @(posedge clk) if (advance) begin
        product <= counts ? term : {WT{1'b0}};
        held <= next ^ LOW;
    end
endmodule
