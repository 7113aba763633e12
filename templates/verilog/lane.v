// One multiply-accumulate lane: sum <= (first ? 0 : sum) + x * w, or + |(x << LX) - w|.
module crystal_lane #(
    parameter L1 = 0, parameter WX = 1, parameter SX = 0, parameter LX = 0, parameter WW = 1,
    parameter WSUM = 1
) (
    input  wire clk,
    input  wire enable,
    input  wire first,
    input  wire [WX-1:0] x,
    input  wire signed [WW-1:0] w,
    output reg  [WSUM-1:0] sum
);
    localparam WT = WX + LX + WW + 2;
    wire signed [WT-1:0] number = {{(WT-WX){(SX != 0) & x[WX-1]}}, x};
    wire signed [WT-1:0] weight = {{(WT-WW){w[WW-1]}}, w};
    wire signed [WT-1:0] apart = (number <<< LX) - weight;
    wire signed [WT-1:0] term = (L1 != 0) ? (apart[WT-1] ? -apart : apart) : number * weight;
    wire [WT+WSUM-1:0] wide = {{WSUM{term[WT-1]}}, term};
    wire unused_top = &{1'b0, wide[WT+WSUM-1:WSUM]};
    always @(posedge clk)
        if (enable) sum <= (first ? {WSUM{1'b0}} : sum) + wide[WSUM-1:0];
endmodule
